/* A plugin for QEMU's emulator (TCG) that counts executed guest instructions into a file, so that they can be read
 * while the guest runs:  -plugin ./instructions.so,out=FILE[,blocks=N]
 * or takes the time from one block of instructions to another one:  -plugin ./instructions.so,out=FILE,from=ADDRESS,to=ADDRESS
 * With slow=N it also makes each instruction take N rounds of an empty loop more, for processors that are slow beside all else.
 *
 * The file, in 64-bit words of the host:
 *     0      magic, written when everything else is there
 *     1      translated blocks in the table
 *     2      translated blocks that found no place in the table
 *     3      with `from` and `to`: blocks translated between these two
 *     4..61  instructions executed by virtual CPU 0..57 (CPUs above 57 share the last word)
 *     62     with `from` and `to`: nanoseconds between the first translations of these blocks, on the host's clock
 *     63     and of processor time of the CPU's thread
 *     64..   with `blocks=N`, a table of N blocks: address, instructions in the block, times executed
 *
 * The emulator executes a block (instructions up to a branch) as a whole, so one call a block is enough. A block that
 * is left early by an exception counts as a whole; a repeated string instruction is a block of its own and counts once
 * for each repetition. A block is translated just before it is executed for the first time; where time is taken, nothing is
 * counted, as that would cost some.
 *
 * The prototypes are those of QEMU's include/qemu/qemu-plugin.h ("QEMU TCG Plugins" in its developer manual), written
 * out here so that no header of QEMU is needed. They are the same in all versions of the interface; PLUGIN_API is the
 * version that the QEMU at hand accepts: 1 before QEMU 9.0, 2 since. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x544e434f524f54ull /* "TOROCNT" */
#define CPUS 58

struct block {
    uint64_t address, instructions, executed;
};

struct counters {
    uint64_t magic, blocks, lost, between;
    uint64_t cpu[CPUS];
    uint64_t elapsed, processor;
    struct block block[];
};

struct qemu_plugin_tb;
typedef void (*translated_fn)(uint64_t id, struct qemu_plugin_tb *tb);
typedef void (*executed_fn)(unsigned int cpu, void *data);
enum flags { NO_REGISTERS };

extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated_fn fn);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, executed_fn fn, enum flags flags, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = PLUGIN_API;

static volatile struct counters *counters;
static uint64_t room, from, to, slow;

static void count(unsigned int cpu, uint64_t instructions)
{
    counters->cpu[cpu < CPUS ? cpu : CPUS - 1] += instructions; /* each CPU has one thread */
    /* Rounds, not time: two CPUs that share a processor of the host shall not wait at once. */
    for (uint64_t round = instructions * slow; round; round--)
        __asm__ volatile("");
}

static void executed(unsigned int cpu, void *instructions)
{
    count(cpu, (uintptr_t)instructions);
}

static void executed_block(unsigned int cpu, void *data)
{
    volatile struct block *block = data;
    block->executed++; /* with several CPUs a count may get lost here */
    count(cpu, block->instructions);
}

/* QEMU calls this under a lock of its own translator only: two CPUs may be here at once. */
static volatile struct block *new_block(uint64_t address, uint64_t instructions)
{
    uint64_t index = __atomic_fetch_add(&counters->blocks, 1, __ATOMIC_RELAXED);
    if (index >= room) {
        __atomic_fetch_sub(&counters->blocks, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&counters->lost, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    volatile struct block *block = &counters->block[index];
    block->address = address;
    block->instructions = instructions;
    return block;
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t instructions = qemu_plugin_tb_n_insns(tb);
    volatile struct block *block = room ? new_block(qemu_plugin_tb_vaddr(tb), instructions) : NULL;
    if (block)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, executed_block, NO_REGISTERS, (void *)block);
    else
        qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, NO_REGISTERS, (void *)(uintptr_t)instructions);
}

static uint64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void timed(uint64_t id, struct qemu_plugin_tb *tb)
{
    static uint64_t elapsed, processor;
    (void)id;
    uint64_t address = qemu_plugin_tb_vaddr(tb);
    if (address == from && !elapsed) {
        elapsed = now(CLOCK_MONOTONIC);
        processor = now(CLOCK_THREAD_CPUTIME_ID);
    } else if (address == to && elapsed && !counters->elapsed) {
        counters->processor = now(CLOCK_THREAD_CPUTIME_ID) - processor;
        counters->elapsed = now(CLOCK_MONOTONIC) - elapsed;
    }
    if (elapsed && !counters->elapsed)
        __atomic_fetch_add(&counters->between, 1, __ATOMIC_RELAXED);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    const char *out = NULL;
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4))
            out = argv[i] + 4;
        else if (!strncmp(argv[i], "blocks=", 7))
            room = strtoull(argv[i] + 7, NULL, 10);
        else if (!strncmp(argv[i], "from=", 5))
            from = strtoull(argv[i] + 5, NULL, 0);
        else if (!strncmp(argv[i], "to=", 3))
            to = strtoull(argv[i] + 3, NULL, 0);
        else if (!strncmp(argv[i], "slow=", 5))
            slow = strtoull(argv[i] + 5, NULL, 10);
    }
    if (!out || room > 1 << 24) {
        fprintf(stderr, "instructions: out=FILE is missing, or blocks=N is too large\n");
        return -1;
    }
    size_t size = sizeof(struct counters) + room * sizeof(struct block);
    int file = open(out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, (off_t)size) < 0) {
        perror(out);
        return -1;
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) {
        perror(out);
        return -1;
    }
    counters = memory;
    qemu_plugin_register_vcpu_tb_trans_cb(id, to ? timed : translated);
    counters->magic = MAGIC;
    return 0;
}
