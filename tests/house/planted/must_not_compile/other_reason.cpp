// planted: refused for another reason
// refused: capacity
int main() {
#ifdef MUST_NOT_COMPILE
  return nothing;
#endif
}
