// planted: more lines than its bound
#include <iostream>
