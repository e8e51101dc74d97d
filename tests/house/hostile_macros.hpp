// What other people's headers define: Windows, curses, X11, Qt, <complex.h>, old Unix, Arduino, test frameworks.
// No include guard: it comes after the standard headers and before ours.
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define I (__extension__ 1.0iF)
#define near
#define far
#define small char
#define interface struct
#define IN
#define OUT
#define ERROR 0
#define DELETE 0x00010000L
#define None 0L
#define Bool int
#define Success 0
#define Always 2
#define True 1
#define False 0
#define timeout(delay) hostile
#define slots
#define signals public
#define emit
#define foreach for
#define unix 1
#define linux 1
#define major(device) hostile
#define minor(device) hostile
#define B0 0000000
#define F(text) hostile
#define check(condition) hostile
#define verify(condition) hostile
#define require(condition) hostile
#define CHECK(condition) hostile
#define FREE 0
#define FULL 1
#define EMPTY 0
#define BUSY 2
#define READING 3
#define WRITING 4
#define OK 0
#define SUCCESS 0
