//! Starting the other cores: INIT and start-up interrupts, and the way from real mode to Rust (Intel SDM volume 3A, section 8.4).
//!
//! On a busy host a core may answer long after it was given up, and no interrupt can call it back for sure. So what it finds then must do
//! no harm: the trampoline stays as it is, executable, as long as a core may still come, and what a core is to use is read before it is
//! known whether the core is the one that is being started; one that was given up halts there.

use alloc::boxed::Box;
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::core_local::{self, CoreLocal, MAX_CORES};
use super::descriptors::{self, CoreTables};
use super::{clock, cpu, extended_state, interrupts, local_apic, syscall};
use crate::memory::areas::{self, Access};
use crate::memory::{OutOfMemory, paging};

/// The page where a starting core begins, in real mode. Below what memory uses as frames.
const TRAMPOLINE: usize = 0x8000;
/// Stack on which a core starts; its first thread has one of its own.
const START_STACK_BYTES: usize = 32 * 1024;
const INIT_WAIT_NS: u64 = 200_000;
const STARTUP_WAIT_NS: u64 = 2_000_000;
/// A core that has not answered by then is left out.
const ANSWER_WAIT_NS: u64 = 2_000_000_000;

global_asm!(
    r#"
    .section .rodata.toro.trampoline, "a"
    .code16
toro_trampoline:
    jmp 1f
    .balign 8
    .word 31                              // at 8: limit and base of the segments
    .long {base} + 16
    .balign 8
    .quad 0, {code_64}, {data}, {code_32}
1:  cli
    cld
    xor ax, ax
    mov ds, ax
    lgdt [{base} + 8]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xEA                      // far jump into 32-bit code
    .long {base} + toro_trampoline_32 - toro_trampoline
    .word 24
    .code32
toro_trampoline_32:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esi, dword ptr [{called} + {stack}]
    mov edi, dword ptr [{called} + {stack} + 4]
    mov ebp, dword ptr [{called} + {starting}]
    mov esp, dword ptr [{called} + {starting} + 4]
    mov eax, 1                            // CPUID: EBX has the number of the local APIC in its highest byte
    cpuid
    shr ebx, 24
    mov eax, dword ptr [{called} + {apic_id}]
    cmp eax, {anybody}
    je 2f
    cmp al, bl
    je 2f
1:  hlt                                   // called for another time: this core was given up
    jmp 1b
2:  mov eax, cr4
    or eax, 0x620                         // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov ebx, dword ptr [{components}]
    mov eax, dword ptr [{called} + {tables}]
    mov cr3, eax
    mov ecx, 0xC0000080                   // EFER
    rdmsr
    or eax, 0x900                         // LME, NXE
    wrmsr
    mov eax, cr0
    and eax, 0x9FFFFFF3                   // caches on; EM, TS off
    or eax, 0x80010022                    // PG, WP, NE, MP
    mov cr0, eax
    .byte 0xEA                            // far jump into 64-bit code
    .long {base} + toro_trampoline_64 - toro_trampoline
    .word 8
    .code64
toro_trampoline_64:
    xor eax, eax
    mov fs, eax
    mov gs, eax
    fninit
    test ebx, ebx                         // no code in Rust before these are there: copies use them
    jz 1f
    mov rax, cr4
    or eax, {osxsave}
    mov cr4, rax
    mov eax, ebx
    xor ecx, ecx                          // XCR0
    xor edx, edx
    xsetbv
1:  mov eax, esp                          // the upper halves are undefined
    shl rax, 32
    mov ebp, ebp
    or rax, rbp
    mov ecx, esi
    shl rdi, 32
    or rcx, rdi
    mov rsp, rcx
    mov rdi, rax
    xor ebp, ebp
    movabs rax, offset {main}
    call rax
    ud2
toro_trampoline_end:
    .text
    "#,
    base = const TRAMPOLINE,
    called = sym CALLED_CORE,
    tables = const offset_of!(CalledCore, tables),
    stack = const offset_of!(CalledCore, stack),
    starting = const offset_of!(CalledCore, starting),
    apic_id = const offset_of!(CalledCore, apic_id),
    anybody = const ANYBODY,
    components = sym extended_state::COMPONENTS,
    osxsave = const extended_state::OSXSAVE,
    main = sym core_main,
    code_64 = const descriptors::CODE_64,
    code_32 = const descriptors::CODE_32,
    data = const descriptors::DATA,
);

unsafe extern "C" {
    static toro_trampoline: u8;
    static toro_trampoline_end: u8;
}

/// What the trampoline reads for the core that is being started, before there is paging; one core starts at a time. The processor keeps the
/// order of reads and of writes: a core that finds its number at the end has read what was meant for it.
#[repr(C)]
struct CalledCore {
    /// Root of the page tables, below 4 GiB.
    tables: AtomicU64,
    /// End of the stack.
    stack: AtomicU64,
    starting: AtomicPtr<Starting>,
    /// Number of the local APIC, or [`ANYBODY`] as long as every core has answered.
    apic_id: AtomicU32,
}

/// No core can have this number, and none has come late.
const ANYBODY: u32 = u32::MAX;
/// No core has this number in its lowest byte that can be addressed at all.
const NOBODY: u32 = 0xFF;

static CALLED_CORE: CalledCore = CalledCore {
    tables: AtomicU64::new(0),
    stack: AtomicU64::new(0),
    starting: AtomicPtr::new(core::ptr::null_mut()),
    apic_id: AtomicU32::new(ANYBODY),
};

/// What a core does when it has left the assembly.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Makes what belongs to the core; the core counts when it has returned.
    pub prepare: fn(),
    /// Where the core goes then.
    pub run: extern "C" fn() -> !,
}

struct Starting {
    core: &'static CoreLocal,
    tables: AtomicPtr<CoreTables>,
    entry: Entry,
    stage: AtomicU8,
}

/// Stages of a start: the core has been called; it has answered; it runs; it was given up before it answered.
const CALLED: u8 = 0;
const ANSWERED: u8 = 1;
const RUNNING: u8 = 2;
const GIVEN_UP: u8 = 3;

/// Starts all processors of the list but this one; `entry` is what each does then. Returns how many did not answer.
///
/// # Errors
/// When there is no memory for a core's tables and stacks; the cores so far run.
pub fn start_all(processors: &[u32], entry: Entry) -> Result<usize, OutOfMemory> {
    let own = core_local::current().apic_id();
    let others = processors
        .iter()
        .filter(|&&id| id != own && local_apic::can_address(id));
    let mut others = others.take(MAX_CORES - 1).peekable();
    if others.peek().is_none() {
        return Ok(0);
    }
    let mut silent = 0;
    // SAFETY: the page is below what memory uses; nothing else is there, and no core executes in it yet. From here on it is only executed.
    unsafe {
        paging::map(TRAMPOLINE, TRAMPOLINE as u64, 4096, paging::DATA)?;
        let code = &raw const toro_trampoline;
        let len_bytes = (&raw const toro_trampoline_end) as usize - code as usize;
        (TRAMPOLINE as *mut u8).copy_from_nonoverlapping(code, len_bytes);
        paging::protect(TRAMPOLINE, TRAMPOLINE + 4096, paging::CODE);
    }
    for &apic_id in others {
        if !start(apic_id, silent != 0, entry)? {
            log::error!("core with local APIC {apic_id} does not answer: left out");
            silent += 1;
        }
    }
    // Whoever comes from now on was given up.
    CALLED_CORE.apic_id.store(NOBODY, Ordering::Release);
    if silent == 0 {
        // SAFETY: no core is in the page any more, and none will come.
        unsafe { paging::protect(TRAMPOLINE, TRAMPOLINE + 4096, paging::DATA) };
    }
    Ok(silent)
}

/// Starts one core; whether it answers. Where others may `come_late`, only a core of this number goes on.
fn start(apic_id: u32, come_late: bool, entry: Entry) -> Result<bool, OutOfMemory> {
    let stack = areas::create(START_STACK_BYTES, Access::ReadWrite)?;
    // The core's first touch of its stack comes before it can take page faults.
    for page in (stack..stack + START_STACK_BYTES).step_by(4096) {
        // SAFETY: an area of our own.
        unsafe { (page as *mut u8).write_volatile(0) };
    }
    // A core that answers too late still finds this, and that it was given up.
    let starting = Box::leak(Box::new(Starting {
        core: core_local::allocate(apic_id),
        tables: AtomicPtr::new(descriptors::allocate()?),
        entry,
        stage: AtomicU8::new(CALLED),
    }));
    let called = &CALLED_CORE;
    called
        .apic_id
        .store(if come_late { NOBODY } else { ANYBODY }, Ordering::Release);
    called.tables.store(paging::root(), Ordering::Release);
    let stack_end = (stack + START_STACK_BYTES) as u64;
    called.stack.store(stack_end, Ordering::Release);
    called.starting.store(starting, Ordering::Release);
    let who = if come_late { apic_id } else { ANYBODY };
    called.apic_id.store(who, Ordering::Release);
    local_apic::send_init(apic_id);
    wait_for(starting, INIT_WAIT_NS);
    local_apic::send_startup(apic_id, (TRAMPOLINE / 4096) as u8);
    if !wait_for(starting, STARTUP_WAIT_NS) {
        local_apic::send_startup(apic_id, (TRAMPOLINE / 4096) as u8);
    }
    if wait_for(starting, ANSWER_WAIT_NS) {
        return Ok(true);
    }
    let stage =
        starting
            .stage
            .compare_exchange(CALLED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire);
    // One that has answered at the last moment runs soon, and must be counted before the next one is started.
    Ok(stage.is_err() && wait_for(starting, 30 * ANSWER_WAIT_NS))
}

/// Waits until a core runs; whether it does.
fn wait_for(starting: &Starting, wait_ns: u64) -> bool {
    let deadline_ns = clock::now_ns() + wait_ns;
    while starting.stage.load(Ordering::Acquire) != RUNNING {
        if clock::now_ns() >= deadline_ns {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// First Rust code of a core.
extern "C" fn core_main(starting: &'static Starting) -> ! {
    if starting
        .stage
        .compare_exchange(CALLED, ANSWERED, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        cpu::halt_forever();
    }
    let (core, entry) = (starting.core, starting.entry);
    // SAFETY: this core's own data and tables.
    unsafe {
        core_local::enter(core);
        descriptors::load(&mut *starting.tables.load(Ordering::Relaxed));
    }
    clock::enable_on_this_core();
    local_apic::enable(core);
    syscall::initialise();
    interrupts::enable_timer();
    // Others start threads here as soon as the core counts.
    (entry.prepare)();
    core_local::add(core);
    starting.stage.store(RUNNING, Ordering::Release);
    (entry.run)()
}
