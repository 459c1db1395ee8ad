/* Runs the machine code of a visit with made-up functions of Python, and tells what they saw. */
#include <asm/ptrace.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

_Static_assert(sizeof(struct user_pt_regs) == 34 * 8, "34 registers");
_Static_assert(offsetof(struct user_pt_regs, sp) == 31 * 8, "sp");
_Static_assert(offsetof(struct user_pt_regs, pc) == 32 * 8, "pc");
_Static_assert(offsetof(struct user_pt_regs, pstate) == 33 * 8, "pstate");

static int ensured, ran, released, given, detached;

static int ensure(void) { return __atomic_add_fetch(&ensured, 1, __ATOMIC_SEQ_CST) + 40; }
static void run(const char *text) { if (!strcmp(text, "text")) __atomic_add_fetch(&ran, 1, __ATOMIC_SEQ_CST); }
static void release(int state) {
    if (state >= 41) __atomic_add_fetch(&given, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&released, 1, __ATOMIC_SEQ_CST);
}
static pthread_t own(void) { return pthread_self(); }
static int detach(pthread_t thread) { __atomic_add_fetch(&detached, pthread_equal(thread, pthread_self()) != 0, __ATOMIC_SEQ_CST); return 0; }
static int create(void *id, void *attributes, void *(*start)(void *), void *argument) {
    if (attributes) return 1;
    if (pthread_create((pthread_t *)id, NULL, start, argument)) return 1;
    return pthread_join(*(pthread_t *)id, NULL);
}

int main(int count, char **words) {
    size_t pending = strtoul(words[1], NULL, 0), room = strtoul(words[2], NULL, 0);
    int cancel = atoi(words[3]), way = words[4][0], starts = atoi(words[5]), saved = 0;
    uint8_t *code = mmap(NULL, room + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *block = code + room;
    size_t size = fread(code, 1, room, stdin);
    uint64_t functions[] = {(uint64_t)ensure, (uint64_t)run, (uint64_t)release, (uint64_t)own, (uint64_t)detach};
    memcpy(block + 0x10, functions, sizeof functions);
    *(uint64_t *)(block + 0x40) = way == 'w' ? 0 : (uint64_t)create;
    memcpy(block + 0x100, "text", 5);
    block[1] = cancel;
    if (size == 0 || mprotect(code, room, PROT_READ | PROT_EXEC)) return 2;
    __builtin___clear_cache((char *)code, (char *)code + size);
    void *(*thread)(void *) = (void *)code;
    int (*call)(void *) = (void *)(code + pending);
    pthread_t ids[64];
    for (int i = 0; i < starts; i++) {
        if (way == 't') { if (pthread_create(&ids[i], NULL, thread, block)) return 3; }
        else saved += call(block);
    }
    for (int i = 0; way == 't' && i < starts; i++) pthread_join(ids[i], NULL);
    printf("state=%d ran=%d ensured=%d released=%d given=%d detached=%d returned=%d\n",
           block[0], ran, ensured, released, given, detached, saved);
    return 0;
}
