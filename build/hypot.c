/* `hypot` of the first glibc of the architecture. glibc 2.35 has a second version of it, which differs in `errno` only;
   linked by default, it would keep the gateway off systems with an older glibc, such as RHEL 9.
   build.rs has the linker send each call of `hypot` here. */
#if defined(__x86_64__)
__asm__(".symver first_hypot, hypot@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver first_hypot, hypot@GLIBC_2.17");
#else
#error "the first glibc of this architecture is not known here"
#endif

double first_hypot(double x, double y);
double __wrap_hypot(double x, double y);

double __wrap_hypot(double x, double y) { return first_hypot(x, y); }
