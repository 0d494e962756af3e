//! Lua as a host of plug-ins: a library of C whose errors are long jumps, between functions of Rust that panic and fail.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    use mlua::{Lua, Value};
    let lua = Lua::new();
    lua.globals().set(
        "host",
        lua.create_function(|_, n: i64| {
            if n > 0 {
                Ok(n * 2)
            } else {
                Err(mlua::Error::runtime("negative"))
            }
        })?,
    )?;
    assert_eq!(lua.load("return host(21)").eval::<i64>()?, 42);
    assert!(
        lua.load("return host(-1)")
            .eval::<Value>()
            .unwrap_err()
            .to_string()
            .contains("negative")
    );
    assert_eq!(
        lua.load("return select(2, pcall(error, 'x'))")
            .eval::<String>()?,
        "x"
    );
    assert!(
        lua.load("local function f() return 1 + f() end return f()")
            .eval::<Value>()
            .unwrap_err()
            .to_string()
            .contains("overflow")
    );
    let s: String = lua.load("local t = {} for i = 1, 1000 do t[i] = tostring(i) end collectgarbage() return table.concat(t, ','):sub(-9) .. os.date('!%Y', 0) .. string.format('%.3f', math.sin(1))").eval()?;
    assert_eq!(s, ",999,100019700.841");
    let f = lua.create_function(|_, ()| -> mlua::Result<()> { panic!("in rust") })?;
    let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f.call::<()>(())));
    assert!(r.is_err());
    let co: mlua::Thread = lua.load("return coroutine.create(function(a) local b = coroutine.yield(a + 1) return b * 2 end)").eval()?;
    assert_eq!(co.resume::<i64>(1)?, 2);
    assert_eq!(co.resume::<i64>(5)?, 10);
    std::fs::write("f.lua", "return 7")?;
    assert_eq!(lua.load("return dofile('f.lua')").eval::<i64>()?, 7);
    assert!(lua.load("local f = io.open('x.txt', 'w') f:write('a\\n', 1.5) f:close() for l in io.lines('x.txt') do return l end").eval::<String>()? == "a");
    println!("all done");
    Ok(())
}
