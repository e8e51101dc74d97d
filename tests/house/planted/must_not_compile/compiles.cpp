// planted: compiles
// refused: static assertion
int main() {
#ifdef MUST_NOT_COMPILE
  static_assert(true);
#endif
}
