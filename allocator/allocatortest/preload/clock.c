// clock.c: preloaded into redis-server, it makes the server take the wall clock from a file that the tests write.
//
// The environment variable ALLOCATORTEST_CLOCK names the file. Its first eight bytes are an int64 in the machine's byte
// order: the nanoseconds since the Unix epoch. The file is mapped, not read, so a store by the writer is seen by the
// next look at the clock. Where it says zero, where it cannot be mapped, and before the constructor has run, the
// functions below tell the real time. The monotonic clocks, which drive the server's timers, always run.
//
// The real time comes from the system call: looking up the C library's own functions (dlsym) takes memory, and the
// server's allocator asks for the time while it is itself being set up.

#define _GNU_SOURCE

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *told; // the mapped file

__attribute__((constructor)) static void map_clock(void) {
	const char *path = getenv("ALLOCATORTEST_CLOCK");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (file < 0) return;
	void *page = mmap(NULL, sizeof *told, PROT_READ, MAP_SHARED, file, 0);
	if (page != MAP_FAILED) told = page;
	close(file);
}

int clock_gettime(clockid_t id, struct timespec *ts) {
	int64_t ns = told && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) ? atomic_load(told) : 0;
	if (ns == 0) return syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
	struct timespec ts;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0) return -1;
	*tv = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
	if (tz) *(struct timezone *)tz = (struct timezone){0};
	return 0;
}

time_t time(time_t *seconds) {
	struct timespec ts;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0) return -1;
	if (seconds) *seconds = ts.tv_sec;
	return ts.tv_sec;
}
