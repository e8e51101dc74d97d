// planted: not registered in tests/CMakeLists.txt
