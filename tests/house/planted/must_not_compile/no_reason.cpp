// planted: names no reason
int main() {
#ifdef MUST_NOT_COMPILE
  return nothing;
#endif
}
