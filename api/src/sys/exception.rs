//! The handler of exceptions (`kernel/src/abi/native/exception.rs`).

/// An exception, as the kernel has it there.
#[repr(C)]
pub(crate) struct Exception {
    pub(crate) vector: u64,
    pub(crate) error_code: u64,
    pub(crate) address: u64,
    pub(crate) thread: u64,
    pub(crate) core: u64,
    pub(crate) registers: crate::exception::Registers,
}

pub(crate) type Handler = extern "C" fn(&mut Exception) -> bool;

mod c {
    unsafe extern "C" {
        pub(super) safe fn toro_exception_set_handler(handler: super::Handler);
    }
}

pub(crate) fn set_handler(handler: Handler) {
    c::toro_exception_set_handler(handler);
}

/// What `set` of [`Slot`] stored.
pub(crate) type Function = fn(&mut crate::exception::Exception<'_>) -> crate::exception::Action;

/// A place for a function, which all threads may read.
pub(crate) struct Slot(std::sync::atomic::AtomicPtr<()>);

impl Slot {
    pub(crate) const fn new() -> Self {
        Self(std::sync::atomic::AtomicPtr::new(std::ptr::null_mut()))
    }

    pub(crate) fn set(&self, function: Option<Function>) {
        let pointer = function.map_or(std::ptr::null_mut(), |function| function as *mut ());
        self.0.store(pointer, std::sync::atomic::Ordering::Release);
    }

    pub(crate) fn get(&self) -> Option<Function> {
        let pointer = self.0.load(std::sync::atomic::Ordering::Acquire);
        // SAFETY: `set` stored a function of this type, or null, which is `None`.
        (!pointer.is_null()).then(|| unsafe { std::mem::transmute::<*mut (), Function>(pointer) })
    }
}
