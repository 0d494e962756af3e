//! Who of the link has which hardware address (RFC 826; RFC 4861, section 7, for IPv6), and what waits for the answer.

use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::address::Address;
use crate::hash::Seed;
use crate::wire::ethernet::Mac;

const SECOND: u64 = 1_000_000;
/// How long an answer is believed without a doubt.
const FRESH_US: u64 = 60 * SECOND;
/// After how long without any use a neighbour may be forgotten.
const IDLE_US: u64 = 600 * SECOND;
/// How long a way that is being asked about again may be used.
const DOUBT_US: u64 = SECOND;
/// Time between questions.
pub(crate) const ASK_US: u64 = SECOND;
/// Questions before a neighbour is given up.
const MAX_ASKED: u8 = 3;
/// What a packet counts for besides its bytes.
const PACKET_BYTES: usize = 64;

/// What is known of a neighbour.
struct Neighbor {
    mac: Option<Mac>,
    confirmed_at: u64,
    used_at: u64,
    /// Something was to be sent to it: it is more than a station that once asked us.
    is_wanted: bool,
    /// When it was last asked, and how often in vain; 0: it is not being asked.
    asked_at: u64,
    asked: u8,
    /// Another station has said that the address is its own: the next question is the last one to the known station alone.
    is_contested: bool,
    /// Frames that wait for the address, without it.
    packets: Vec<Vec<u8>>,
    /// What they count for.
    packet_bytes: usize,
    /// Connections that wait for it, by slot.
    waiters: Vec<u32>,
}

impl Neighbor {
    /// One of whom nothing is known.
    fn new(now: u64) -> Self {
        Self {
            mac: None,
            confirmed_at: 0,
            used_at: now,
            is_wanted: false,
            asked_at: 0,
            asked: 0,
            is_contested: false,
            packets: Vec::new(),
            packet_bytes: 0,
            waiters: Vec::new(),
        }
    }

    /// Takes what waits for it, which is held no more.
    fn release(&mut self, held_bytes: &mut usize) -> Waiting {
        *held_bytes -= core::mem::take(&mut self.packet_bytes);
        Waiting {
            packets: core::mem::take(&mut self.packets),
            waiters: core::mem::take(&mut self.waiters),
        }
    }

    /// Until when its address is believed without a doubt.
    fn fresh_until(&self) -> u64 {
        match self.is_contested {
            true => 0,
            false => self.confirmed_at.saturating_add(FRESH_US),
        }
    }
}

/// The answer to a question of ours for a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// Its hardware address, and until when it may be used.
    Known(Mac, u64),
    /// It is being asked.
    Pending,
}

/// What to ask a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) target: Address,
    /// Its last known hardware address.
    pub(crate) mac: Option<Mac>,
}

/// How a hardware address came to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// In an answer, or unasked: believed only of who was asked or is known.
    Told,
    /// By a station that asks us and will be answered: it is remembered.
    Asking,
}

/// What waited for a neighbour.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) packets: Vec<Vec<u8>>,
    pub(crate) waiters: Vec<u32>,
}

/// What waited in vain.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// How many packets.
    pub(crate) packets: u64,
    /// The connections.
    pub(crate) waiters: Vec<u32>,
    /// Neighbours that did not answer.
    pub(crate) silent: Vec<Address>,
}

impl Lost {
    fn add(&mut self, waiting: Waiting) {
        self.packets += waiting.packets.len() as u64;
        self.waiters.extend(waiting.waiters);
    }
}

/// The neighbours of an interface.
pub(crate) struct Neighbors {
    table: HashMap<Address, Neighbor, Seed>,
    limit: usize,
    /// Bytes of packets that may wait. Those for one neighbour may take as much as is left free by then, so that others' still find room.
    held_limit: usize,
    /// What all packets that wait count for.
    held_bytes: usize,
    /// What waited for neighbours that had to make room.
    lost: Lost,
    /// Grows whenever a known address has changed or was forgotten.
    pub(crate) generation: u32,
}

impl Neighbors {
    /// None yet, and never more than `limit`; packets of so many bytes may wait for them.
    pub(crate) fn new(limit: usize, held_limit: usize, seed: u64) -> Self {
        Self {
            table: HashMap::with_hasher(Seed::new(seed)),
            limit,
            held_limit,
            held_bytes: 0,
            lost: Lost::default(),
            generation: 0,
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The hardware address of a neighbour; or it is asked: the question that is to be sent now, if any.
    pub(crate) fn resolve(&mut self, address: Address, now: u64) -> (Resolved, Option<Question>) {
        // Nearly always.
        if let Some(neighbor) = self.table.get_mut(&address)
            && let Some(mac) = neighbor.mac
            && now < neighbor.fresh_until()
        {
            neighbor.used_at = now;
            neighbor.is_wanted = true;
            return (Resolved::Known(mac, neighbor.fresh_until()), None);
        }
        self.resolve_slowly(address, now)
    }

    #[inline(never)]
    fn resolve_slowly(&mut self, address: Address, now: u64) -> (Resolved, Option<Question>) {
        if !self.table.contains_key(&address) {
            self.make_room(now);
        }
        let neighbor = self
            .table
            .entry(address)
            .or_insert_with(|| Neighbor::new(now));
        neighbor.used_at = now;
        neighbor.is_wanted = true;
        let question = Question {
            target: address,
            mac: neighbor.mac,
        };
        let is_new = neighbor.asked == 0;
        if is_new {
            let asked = if neighbor.is_contested {
                MAX_ASKED - 1
            } else {
                1
            };
            (neighbor.asked, neighbor.asked_at) = (asked, now);
        }
        let resolved = neighbor.mac.map_or(Resolved::Pending, |mac| {
            Resolved::Known(mac, now + DOUBT_US)
        });
        (resolved, is_new.then_some(question))
    }

    /// Lets a frame wait; whether there was room.
    pub(crate) fn hold(&mut self, address: Address, packet: Vec<u8>) -> bool {
        let Some(neighbor) = self.table.get_mut(&address) else {
            return false;
        };
        let bytes = packet.len() + PACKET_BYTES;
        let has_room =
            neighbor.packet_bytes + bytes <= self.held_limit.saturating_sub(self.held_bytes);
        if has_room {
            neighbor.packet_bytes += bytes;
            self.held_bytes += bytes;
            neighbor.packets.push(packet);
        }
        has_room
    }

    /// What all the frames that wait count for.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Lets a connection wait.
    pub(crate) fn wait(&mut self, address: Address, slot: u32) {
        if let Some(neighbor) = self.table.get_mut(&address) {
            neighbor.waiters.push(slot);
        }
    }

    /// A neighbour has told its hardware address; what waited for it, if it is believed.
    ///
    /// Nobody signs these messages, so an address that is known by another station is not taken over by whoever says so: the known station is
    /// asked at the next use, a second later everybody, and only then another one may answer. A station that took an address over waits for a
    /// second; one that only says so gets nothing as long as the other one is there.
    pub(crate) fn learn(
        &mut self,
        address: Address,
        mac: Mac,
        word: Word,
        now: u64,
    ) -> Option<Waiting> {
        if word == Word::Asking && !self.table.contains_key(&address) {
            // Who asks us will be answered, and probably more.
            self.make_room(now);
            self.table.insert(address, Neighbor::new(now));
        }
        let neighbor = self.table.get_mut(&address)?;
        if neighbor.mac.is_some_and(|known| known != mac) {
            let has_been_asked_of_all = neighbor.asked >= MAX_ASKED;
            if !has_been_asked_of_all {
                // Not more often than the known station can be asked.
                let may_be_asked = now >= neighbor.confirmed_at.saturating_add(ASK_US);
                if neighbor.asked == 0 && !neighbor.is_contested && may_be_asked {
                    neighbor.is_contested = true;
                    self.generation = self.generation.wrapping_add(1);
                }
                return None;
            }
            self.generation = self.generation.wrapping_add(1);
        }
        neighbor.mac = Some(mac);
        neighbor.confirmed_at = now;
        neighbor.asked = 0;
        neighbor.is_contested = false;
        Some(neighbor.release(&mut self.held_bytes))
    }

    /// All whose hardware addresses are known or asked for, and these.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Address, Option<Mac>)> {
        self.table
            .iter()
            .map(|(address, neighbor)| (*address, neighbor.mac))
    }

    /// Whether any is being asked.
    pub(crate) fn is_asking(&self) -> bool {
        self.table.values().any(|neighbor| neighbor.asked != 0)
    }

    /// The questions to repeat, and what waited for neighbours that are given up now, or had to make room.
    pub(crate) fn tick(&mut self, now: u64) -> (Vec<Question>, Lost) {
        let mut questions = Vec::new();
        let mut lost = core::mem::take(&mut self.lost);
        let mut has_forgotten = false;
        self.table.retain(|target, neighbor| {
            if neighbor.asked == 0 || now < neighbor.asked_at + ASK_US {
                return true;
            }
            if neighbor.asked >= MAX_ASKED {
                has_forgotten |= neighbor.mac.is_some();
                lost.add(neighbor.release(&mut self.held_bytes));
                lost.silent.push(*target);
                return false;
            }
            neighbor.asked += 1;
            neighbor.asked_at = now;
            // The last question goes to all, for it may have another address now.
            let mac = neighbor.mac.filter(|_| neighbor.asked < MAX_ASKED);
            questions.push(Question {
                target: *target,
                mac,
            });
            true
        });
        if has_forgotten {
            self.generation = self.generation.wrapping_add(1);
        }
        (questions, lost)
    }

    /// Makes room for one more. First those go to which nothing was ever to be sent, all at once: strangers who only ask, or say that they are
    /// routers, shall not push out whom we talk to, or whose answer is awaited. Then those that were not used for long, or else the one that
    /// was used least recently and that nobody waits for.
    fn make_room(&mut self, now: u64) {
        if self.table.len() < self.limit {
            return;
        }
        // Nothing waits for them, as nothing does for those that are not being asked.
        self.table.retain(|_, one| one.is_wanted);
        if self.table.len() < self.limit {
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        self.table
            .retain(|_, one| one.asked != 0 || one.used_at + IDLE_US > now);
        if self.table.len() >= self.limit {
            let oldest = self
                .table
                .iter()
                .min_by_key(|(_, one)| (!one.waiters.is_empty(), one.mac.is_some(), one.used_at))
                .map(|(address, _)| *address);
            if let Some(mut removed) = oldest.and_then(|oldest| self.table.remove(&oldest)) {
                self.lost.add(removed.release(&mut self.held_bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ASK_US, Address, FRESH_US, Neighbors, Resolved, Word};

    const MAC: [u8; 6] = [2; 6];
    const HELD_BYTES: usize = 256 << 10;

    fn ip(last: u8) -> Address {
        Address::v4([10, 0, 2, last])
    }

    #[test]
    fn a_neighbour_is_asked_once_a_second_and_given_up() {
        let mut table = Neighbors::new(8, HELD_BYTES, 1);
        let (resolved, question) = table.resolve(ip(2), 0);
        assert_eq!(resolved, Resolved::Pending);
        assert!(question.is_some_and(|question| question.mac.is_none()));
        assert_eq!(table.resolve(ip(2), 1).1, None, "already asked");
        assert!(table.hold(ip(2), vec![1]));
        table.wait(ip(2), 7);
        assert_eq!(table.tick(ASK_US).0.len(), 1);
        assert_eq!(table.tick(2 * ASK_US).0.len(), 1);
        let (questions, lost) = table.tick(3 * ASK_US);
        assert!(questions.is_empty());
        assert_eq!((lost.packets, &lost.waiters[..]), (1, &[7][..]));
        assert!(table.len() == 0 && !table.is_asking());
    }

    #[test]
    fn an_answer_releases_what_waits_and_is_doubted_later() {
        let mut table = Neighbors::new(8, HELD_BYTES, 1);
        table.resolve(ip(2), 5);
        assert!(table.hold(ip(2), vec![1]));
        assert!(
            table.learn(ip(9), MAC, Word::Told, 6).is_none(),
            "not asked"
        );
        assert_eq!(table.len(), 1);
        let waiting = table.learn(ip(2), MAC, Word::Told, 6).unwrap();
        assert_eq!(waiting.packets.len(), 1);
        assert_eq!(
            table.resolve(ip(2), 7),
            (Resolved::Known(MAC, 6 + FRESH_US), None)
        );
        let later = 6 + FRESH_US;
        let (resolved, question) = table.resolve(ip(2), later);
        assert_eq!(resolved, Resolved::Known(MAC, later + super::DOUBT_US));
        assert_eq!(question.and_then(|question| question.mac), Some(MAC));
        // Silent: everybody is asked in the end, and it may have moved.
        assert_eq!(table.tick(later + ASK_US).0[0].mac, Some(MAC));
        assert_eq!(table.tick(later + 2 * ASK_US).0[0].mac, None);
        let generation = table.generation;
        table.learn(ip(2), [4; 6], Word::Told, later + 2 * ASK_US + 1);
        assert_ne!(table.generation, generation, "it has moved");
        let (resolved, _) = table.resolve(ip(2), later + 2 * ASK_US + 2);
        assert!(matches!(resolved, Resolved::Known(mac, _) if mac == [4; 6]));
    }

    const EVIL: [u8; 6] = [6; 6];

    /// A neighbour that was asked and answered at 0.
    fn known() -> Neighbors {
        let mut table = Neighbors::new(8, HELD_BYTES, 1);
        table.resolve(ip(2), 0);
        assert!(table.learn(ip(2), MAC, Word::Told, 0).is_some());
        table
    }

    #[test]
    fn who_says_that_anothers_address_is_its_own_gets_nothing_while_the_other_is_there() {
        for word in [Word::Told, Word::Asking] {
            let mut table = known();
            let mut now = 5 * ASK_US;
            for _ in 0..100 {
                now += ASK_US / 3;
                assert!(table.learn(ip(2), EVIL, word, now).is_none());
                let (resolved, question) = table.resolve(ip(2), now);
                assert!(matches!(resolved, Resolved::Known(MAC, _)), "{resolved:?}");
                if let Some(question) = question {
                    assert_eq!(question.mac, Some(MAC), "the known one is asked first");
                    assert!(table.learn(ip(2), EVIL, word, now + 1).is_none());
                    assert!(table.learn(ip(2), MAC, Word::Told, now + 2).is_some());
                    assert!(!table.is_asking());
                }
            }
        }
    }

    #[test]
    fn who_takes_over_the_address_of_one_that_is_gone_is_believed_a_second_later() {
        let mut table = known();
        let now = 5 * ASK_US;
        let generation = table.generation;
        assert!(table.learn(ip(2), EVIL, Word::Told, now).is_none());
        assert_ne!(
            table.generation, generation,
            "ways in use are looked at again"
        );
        let (resolved, question) = table.resolve(ip(2), now);
        assert_eq!(resolved, Resolved::Known(MAC, now + super::DOUBT_US));
        assert_eq!(question.and_then(|question| question.mac), Some(MAC));
        let (questions, _) = table.tick(now + ASK_US);
        assert_eq!((questions.len(), questions[0].mac), (1, None));
        assert!(
            table
                .learn(ip(2), EVIL, Word::Told, now + ASK_US + 1)
                .is_some()
        );
        let (resolved, _) = table.resolve(ip(2), now + ASK_US + 2);
        assert!(matches!(resolved, Resolved::Known(EVIL, _)), "{resolved:?}");
    }

    #[test]
    fn strangers_who_ask_push_out_nobody_we_talk_to_or_wait_for() {
        let mut table = known();
        assert_eq!(table.resolve(ip(3), 0).0, Resolved::Pending);
        assert!(table.hold(ip(3), vec![1]));
        let generation = table.generation;
        for last in 10..250 {
            table.learn(ip(last), EVIL, Word::Asking, 1000 + u64::from(last));
            assert!(table.len() <= 8);
        }
        assert!(matches!(
            table.resolve(ip(2), 2000).0,
            Resolved::Known(MAC, _)
        ));
        let waiting = table.learn(ip(3), MAC, Word::Told, 2000).unwrap();
        assert_eq!(waiting.packets.len(), 1);
        assert_eq!(table.generation, generation, "no way in use has changed");
    }

    #[test]
    fn a_burst_waits_for_one_neighbour_and_leaves_room_for_others() {
        let mut table = Neighbors::new(8, HELD_BYTES, 1);
        let mut held = 0;
        table.resolve(ip(2), 0);
        while table.hold(ip(2), vec![0; 74]) {
            held += 1;
        }
        assert!((900..1000).contains(&held), "{held}");
        table.resolve(ip(3), 0);
        assert!(table.hold(ip(3), vec![0; 1514]));
        assert_eq!(
            table
                .learn(ip(2), MAC, Word::Told, 1)
                .map(|one| one.packets.len()),
            Some(held)
        );
        assert!(
            table.hold(ip(3), vec![0; 60_000]),
            "their room is free again"
        );
        table.learn(ip(3), MAC, Word::Told, 1);
        assert_eq!(table.held_bytes, 0);
    }

    #[test]
    fn what_waited_for_neighbours_that_made_room_is_told() {
        let mut table = Neighbors::new(4, HELD_BYTES, 1);
        for last in 0..8 {
            table.resolve(ip(last), u64::from(last));
            assert!(table.hold(ip(last), vec![1]));
            table.wait(ip(last), u32::from(last));
        }
        let (_, lost) = table.tick(10);
        assert_eq!((lost.packets, lost.waiters.len()), (4, 4));
        assert!(table.tick(11).1.waiters.is_empty(), "once");
    }

    #[test]
    fn strangers_cannot_fill_the_table() {
        let mut table = Neighbors::new(4, HELD_BYTES, 1);
        for last in 0..100 {
            table.learn(ip(last), MAC, Word::Asking, u64::from(last));
            assert!(table.len() <= 4);
        }
        for last in 100..200 {
            table.resolve(ip(last), 1000);
            assert!(table.len() <= 4);
        }
    }
}
