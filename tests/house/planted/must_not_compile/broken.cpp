// planted: does not compile as it stands
// refused: .
int main() { return nothing; }
