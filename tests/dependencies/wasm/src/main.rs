//! WebAssembly compiled at run time by wasmtime: its traps are signals of the code that it makes, its loops are interrupted from other
//! threads, and its calls that wait have stacks of their own.

use std::time::Duration;
use wasmtime::{
    Caller, Config, Engine, Instance, InstanceAllocationStrategy, Linker, Module,
    PoolingAllocationConfig, Result, Store, Trap, WasmParams, WasmResults,
};

const PROGRAM: &str = r#"(module
  (import "host" "log" (func $log (param i32)))
  (memory (export "memory") 1 4)
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add
        (call $fib (i32.sub (local.get 0) (i32.const 1)))
        (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "peek") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "boom") unreachable)
  (func $deep (export "deep") (param i32) (result i32)
    (i32.add (i32.const 1) (call $deep (local.get 0))))
  (func (export "spin") (loop $l (br $l)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "tell") (call $log (i32.const 42)))
)"#;

fn call<T: 'static, P: WasmParams, R: WasmResults>(
    store: &mut Store<T>,
    instance: &Instance,
    name: &str,
    arguments: P,
) -> Result<R> {
    instance
        .get_typed_func::<P, R>(&mut *store, name)?
        .call(store, arguments)
}

fn trap<T>(result: Result<T>) -> Trap {
    let error = result.err().expect("a trap");
    *error.downcast_ref::<Trap>().expect("a trap")
}

fn traps(engine: &Engine, module: &Module) -> Result<()> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "log", |mut caller: Caller<'_, Vec<i32>>, n: i32| {
        caller.data_mut().push(n);
    })?;
    let mut store = Store::new(engine, Vec::new());
    store.set_epoch_deadline(1);
    let instance = &linker.instantiate(&mut store, module)?;
    let store = &mut store;
    assert_eq!(call::<_, _, i32>(store, instance, "fib", 20)?, 6765);
    call::<_, _, ()>(store, instance, "tell", ())?;
    assert_eq!(store.data(), &[42]);
    assert_eq!(call::<_, _, i32>(store, instance, "peek", 65532)?, 0);
    for place in [65533, 65536, 1 << 20, i32::MIN, -1] {
        let result = call::<_, _, i32>(store, instance, "peek", place);
        assert_eq!(trap(result), Trap::MemoryOutOfBounds);
    }
    let mut div = |a: i32, b: i32| trap(call::<_, _, i32>(store, instance, "div", (a, b)));
    assert_eq!(div(1, 0), Trap::IntegerDivisionByZero);
    assert_eq!(div(i32::MIN, -1), Trap::IntegerOverflow);
    let boom = call::<_, _, ()>(store, instance, "boom", ());
    assert_eq!(trap(boom), Trap::UnreachableCodeReached);
    let deep = call::<_, _, i32>(store, instance, "deep", 1);
    assert_eq!(trap(deep), Trap::StackOverflow);
    for (pages, before) in [(1, 1), (2, 2), (5, -1), (0, 4)] {
        assert_eq!(call::<_, _, i32>(store, instance, "grow", pages)?, before);
    }
    assert_eq!(call::<_, _, i32>(store, instance, "peek", 65536)?, 0);
    // Until another thread ends it.
    let other = engine.clone();
    let timer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        other.increment_epoch();
    });
    let spin = call::<_, _, ()>(store, instance, "spin", ());
    assert_eq!(trap(spin), Trap::Interrupt);
    timer.join().expect("a timer");
    println!("traps: done");
    Ok(())
}

fn kept(engine: &Engine, module: &Module) -> Result<()> {
    let path = std::env::temp_dir().join("program.cwasm");
    std::fs::write(&path, module.serialize()?)?;
    // SAFETY: what this very program has written.
    let module = unsafe { Module::deserialize_file(engine, &path)? };
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (engine, module) = (engine.clone(), module.clone());
            std::thread::spawn(move || -> Result<i32> {
                let mut linker = Linker::new(&engine);
                linker.func_wrap("host", "log", |_: i32| ())?;
                let mut sum = 0;
                for _ in 0..20 {
                    let mut store = Store::new(&engine, ());
                    store.set_epoch_deadline(1 << 20);
                    let instance = linker.instantiate(&mut store, &module)?;
                    sum += call::<_, _, i32>(&mut store, &instance, "fib", 10)?;
                    let peek = call::<_, _, i32>(&mut store, &instance, "peek", 70000 + worker);
                    assert_eq!(trap(peek), Trap::MemoryOutOfBounds);
                }
                Ok(sum)
            })
        })
        .collect();
    for worker in workers {
        assert_eq!(worker.join().expect("a worker")?, 20 * 55);
    }
    println!("kept: done");
    Ok(())
}

async fn fibers(engine: &Engine, module: &Module) -> Result<()> {
    let clock = engine.clone();
    let clock = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            clock.increment_epoch();
        }
    });
    let fibers: Vec<_> = [2584, 4181, 6765, 10946]
        .into_iter()
        .zip(18..)
        .map(|(expected, n)| {
            let (engine, module) = (engine.clone(), module.clone());
            tokio::spawn(async move {
                let mut linker: Linker<()> = Linker::new(&engine);
                linker.func_wrap_async("host", "log", |_, (ms,): (i32,)| {
                    Box::new(tokio::time::sleep(Duration::from_millis(ms as u64)))
                })?;
                let mut store = Store::new(&engine, ());
                store.epoch_deadline_async_yield_and_update(1);
                let instance = linker.instantiate_async(&mut store, &module).await?;
                let tell = instance.get_typed_func::<(), ()>(&mut store, "tell")?;
                tell.call_async(&mut store, ()).await?;
                let deep = instance.get_typed_func::<i32, i32>(&mut store, "deep")?;
                let end = deep.call_async(&mut store, 1).await;
                assert_eq!(trap(end), Trap::StackOverflow);
                let fib = instance.get_typed_func::<i32, i32>(&mut store, "fib")?;
                assert_eq!(fib.call_async(&mut store, n).await?, expected);
                Result::<()>::Ok(())
            })
        })
        .collect();
    for fiber in fibers {
        fiber.await.expect("a task")?;
    }
    clock.abort();
    println!("fibers: done");
    Ok(())
}

fn pool() -> Result<()> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(8)
        .total_memories(8)
        .total_tables(8)
        .max_memory_size(1 << 20);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
        .memory_reservation(1 << 20)
        .memory_guard_size(1 << 16);
    let engine = Engine::new(&config)?;
    let module = Module::new(&engine, PROGRAM)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "log", |_: i32| ())?;
    for _ in 0..50 {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module)?;
        assert_eq!(call::<_, _, i32>(&mut store, &instance, "fib", 5)?, 5);
    }
    println!("pool: done");
    Ok(())
}

fn main() -> Result<()> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let module = Module::new(&engine, PROGRAM)?;
    traps(&engine, &module)?;
    kept(&engine, &module)?;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(fibers(&engine, &module))?;
    pool()?;
    println!("all done");
    Ok(())
}
