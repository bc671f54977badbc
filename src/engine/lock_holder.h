/* Who holds a lock, and whether that process still lives, as far as this machine can tell. */
#ifndef MM_ENGINE_LOCK_HOLDER_H
#define MM_ENGINE_LOCK_HOLDER_H

#include <stddef.h>

typedef struct mm_lock_holder {
    char host[256], boot[64], space[64]; /* host name, the machine's boot id, the pid namespace */
    long pid;
    char start[32]; /* of the process, in the kernel's ticks */
    char job[96];   /* "slurm 4711 restart 0", or empty */
    char token[40]; /* random, of this lock */
} mm_lock_holder;

typedef enum mm_holder_fate {
    MM_HOLDER_UNKNOWN, /* on another machine, or out of this one's sight */
    MM_HOLDER_LIVES,
    MM_HOLDER_GONE,
    MM_HOLDER_EARLIER_START /* of the job that this process is of */
} mm_holder_fate;

/* 32 hexadecimal digits and a zero. */
void mm_lock_token(char token[33]);
void mm_lock_holder_self(mm_lock_holder *holder);
void mm_lock_holder_print(const mm_lock_holder *holder, unsigned long beats, char *text, size_t size);
/* From untrusted text; what is not there is empty, pid 0. */
void mm_lock_holder_parse(const char *text, mm_lock_holder *holder);
mm_holder_fate mm_lock_holder_fate(const mm_lock_holder *holder);

#endif
