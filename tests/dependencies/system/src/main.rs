//! Crates that ask the system about itself.

use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cores {} {}", num_cpus::get(), num_cpus::get_physical());
    let system = sysinfo::System::new_all();
    println!("memory {} {}", system.total_memory() > 0, system.cpus().len());
    println!("names {:?} {:?}", gethostname::gethostname(), sysinfo::System::name());
    println!("interfaces {:?}", if_addrs::get_if_addrs()?.iter().map(|found| (found.name.clone(), found.ip())).collect::<Vec<_>>());

    println!("pid {} {:?}", nix::unistd::getpid(), nix::unistd::getresuid());
    println!("user {:?}", nix::unistd::User::from_uid(nix::unistd::getuid()));
    println!("affinity {:?}", nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).map(|set| set.is_set(0)));
    println!("limits {:?}", nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?);
    // SAFETY: in a virtual machine, for which this program is, it fails and changes nothing.
    println!("fork {:?}", unsafe { nix::unistd::fork() });

    println!("now {} {}", chrono::Local::now().timestamp() > 1_500_000_000, jiff::Zoned::now().year() > 2020);
    println!("zone {:?}", jiff::tz::TimeZone::system().iana_name());
    println!("uuid {} {}", uuid::Uuid::new_v4().get_version_num(), uuid::Uuid::now_v7().get_version_num());
    println!("random {}", rand::random_range(1..=1));

    let handled = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, handled.clone())?;
    signal_hook::low_level::raise(signal_hook::consts::SIGUSR1)?;
    println!("signal {handled:?}");
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGUSR2])?;
    signal_hook::low_level::raise(signal_hook::consts::SIGUSR2)?;
    println!("iterated {:?}", signals.forever().next());

    std::fs::create_dir("watched")?;
    let (sender, told) = std::sync::mpsc::channel();
    let mut recommended = notify::recommended_watcher(sender)?;
    notify::Watcher::watch(&mut recommended, "watched".as_ref(), notify::RecursiveMode::Recursive)?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let config = notify::Config::default().with_poll_interval(Duration::from_millis(50));
    let mut watcher = notify::PollWatcher::new(sender, config)?;
    notify::Watcher::watch(&mut watcher, "watched".as_ref(), notify::RecursiveMode::Recursive)?;
    std::fs::write("watched/file", "text")?;
    println!("polled {}", receiver.recv()?.is_ok());
    println!("told {:?}", told.recv()?.map(|event| event.kind));

    use rayon::prelude::*;
    println!("rayon {}", (0..100_000_u64).into_par_iter().map(|n| n * n % 7).sum::<u64>());
    let map = dashmap::DashMap::new();
    (0..1000).into_par_iter().for_each(|n| drop(map.insert(n, n * 2)));
    println!("dashmap {} {:?}", map.len(), map.get(&70).map(|value| *value));
    let (sender, receiver) = flume::bounded(3);
    std::thread::spawn(move || (0..50).for_each(|n| sender.send(n).unwrap()));
    println!("flume {}", receiver.iter().sum::<i32>());
    println!("all done");
    Ok(())
}
