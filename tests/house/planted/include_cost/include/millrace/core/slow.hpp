// planted: takes longer than its bound
#include <iostream>
