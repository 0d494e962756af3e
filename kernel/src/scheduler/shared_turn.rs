//! A value that many threads may look at together, or one may change; a waiting thread sleeps, so it may be held over accesses to
//! a disk.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use super::WaitQueue;
use crate::sync::SpinLock;

/// A lock that sleeps, for one who changes or many who look. Those who want to change come first, so that they are not held off for ever;
/// so nobody may take it who has it.
pub struct SharedTurn<T> {
    state: SpinLock<State>,
    waiting: WaitQueue,
    value: UnsafeCell<T>,
}

#[derive(Default)]
struct State {
    lookers: usize,
    is_changing: bool,
    changers_waiting: usize,
    is_waited_for: bool,
}

// SAFETY: `look` hands out shared references on any core (`T: Sync`), `change` one that is alone (`T: Send`), never both at once.
unsafe impl<T: Send + Sync> Sync for SharedTurn<T> {}
// SAFETY: it owns the value.
unsafe impl<T: Send> Send for SharedTurn<T> {}

/// Permission to look, until dropped.
pub struct Look<'a, T> {
    turn: &'a SharedTurn<T>,
}

/// Permission to change, until dropped.
pub struct Change<'a, T> {
    turn: &'a SharedTurn<T>,
}

impl<T> SharedTurn<T> {
    /// Nobody's turn yet.
    pub const fn new(value: T) -> Self {
        let state = State {
            lookers: 0,
            is_changing: false,
            changers_waiting: 0,
            is_waited_for: false,
        };
        Self {
            state: SpinLock::new(state),
            waiting: WaitQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits until nobody changes the value, nor waits to.
    pub fn look(&self) -> Look<'_, T> {
        let mut state = self.state.lock();
        while state.is_changing || state.changers_waiting != 0 {
            state.is_waited_for = true;
            (state, _) = self.waiting.wait(state, None);
        }
        state.lookers += 1;
        Look { turn: self }
    }

    /// Waits until nobody else has the value.
    pub fn change(&self) -> Change<'_, T> {
        let mut state = self.state.lock();
        state.changers_waiting += 1;
        while state.is_changing || state.lookers != 0 {
            state.is_waited_for = true;
            (state, _) = self.waiting.wait(state, None);
        }
        state.changers_waiting -= 1;
        state.is_changing = true;
        Change { turn: self }
    }

    /// Changes the state, and lets those look who wait, if it is free now.
    fn release(&self, release: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        release(&mut state);
        let is_free = state.lookers == 0;
        let is_waking = is_free && core::mem::take(&mut state.is_waited_for);
        drop(state);
        if is_waking {
            self.waiting.wake_all();
        }
    }
}

impl<T> Deref for Look<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: while there are lookers nobody changes.
        unsafe { &*self.turn.value.get() }
    }
}

impl<T> Drop for Look<'_, T> {
    fn drop(&mut self) {
        self.turn.release(|state| state.lookers -= 1);
    }
}

impl<T> Deref for Change<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: nobody else has the value.
        unsafe { &*self.turn.value.get() }
    }
}

impl<T> DerefMut for Change<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: nobody else has the value, and the guard is borrowed mutably.
        unsafe { &mut *self.turn.value.get() }
    }
}

impl<T> Drop for Change<'_, T> {
    fn drop(&mut self) {
        self.turn.release(|state| state.is_changing = false);
    }
}
