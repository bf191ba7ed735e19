//! What has gone wrong in other servers' scripts, each under the number that it was given. `docs/security.md`
//! has all of them, also those that nobody can try here, with the reason.

mod common;

use common::{Database, words};

fn eval(script: &str) -> String {
    eval_in(&mut Database::new(), script)
}

fn eval_in(db: &mut Database, script: &str) -> String {
    let c = db.connect();
    let reply = db.run_args(c, &[b"EVAL", script.as_bytes(), b"0"]);
    // Whatever it was, the state is none the worse for it.
    assert_eq!(db.run_args(c, &[b"EVAL", b"return 7", b"0"]), ":7\r\n", "after {script}");
    reply
}

fn fails(script: &str, why: &str) {
    let reply = eval(script);
    assert!(reply.starts_with("-ERR") && reply.contains(why), "{script}: {reply}");
}

/// A stack was taken for as deep as the data say.
#[test]
fn cve_2018_11218_cmsgpack_within_cmsgpack() {
    fails("return cmsgpack.unpack(string.rep('\\145', 100000))", "stack overflow");
    fails("return cmsgpack.unpack(string.rep('\\129\\1', 100000))", "stack overflow");
    // What is packed too deep is left out, as by Redis.
    let deep = "local t = {} for i = 1, 100 do t = {t} end return #cmsgpack.pack(t) < 100";
    assert_eq!(eval(deep), ":1\r\n");
    let itself = "local t = {} t[1] = t return type(cmsgpack.pack(t))";
    assert_eq!(words(&eval(itself)), "string");
}

/// Sums of an offset and a size went past the end of what can be counted.
#[test]
fn cve_2018_11219_sizes_of_struct() {
    fails("return struct.unpack('c4294967295', 'x')", "integral size overflow");
    fails("return struct.unpack('c2147483647', 'x', 2147483647)", "too short");
    fails("return struct.unpack('I4', 'xxxx', 2147483647)", "too short");
    fails("return struct.unpack('I4', 'xxxx', -2147483648)", "");
    fails("return struct.pack('>!2147483648i4', 1)", "");
}

/// The same with a number in the format that overflows.
#[test]
fn cve_2020_14147_numbers_in_formats_of_struct() {
    for format in ["i2147483648", "i99999999999999999999", "c99999999999"] {
        fails(&format!("return struct.pack('{format}', 'x')"), "integral size overflow");
        fails(&format!("return struct.unpack('{format}', 'x')"), "integral size overflow");
    }
    fails("return struct.size('c2147483648')", "integral size overflow");
}

/// The stack of Lua was used without having been asked for.
#[test]
fn cve_2021_32626_values_on_the_stack() {
    fails("return {unpack({}, 1, 8001)}", "too many results to unpack");
    let wide = "local t = {} for i = 1, 7000 do t[i] = i end return cmsgpack.pack(unpack(t))";
    assert!(eval(wide).starts_with('$'));
    let many = "return {cmsgpack.unpack(string.rep('\\1', 7000))}";
    assert!(eval(many).starts_with("*7000\r\n"));
    fails("return {cmsgpack.unpack(string.rep('\\1', 1000000))}", "too many");
    fails("return {struct.unpack(string.rep('b', 1000000), string.rep('x', 1000000))}", "too many");
    let nested = "return cjson.decode(string.rep('[', 1001) .. string.rep(']', 1001))";
    fails(nested, "too many nested");
    let reply = "local t = {} for i = 1, 100000 do t = {t} end return t";
    assert!(eval(reply).contains("reached lua stack limit"));
}

/// The protocol of the debugger was read past its end.
#[test]
fn cve_2021_32672_requests_to_the_debugger_that_break_off() {
    let whole = b"*2\r\n$5\r\nprint\r\n$4\r\nKEYS\r\n";
    for end in 0..whole.len() {
        let mut db = Database::new();
        let c = db.connect();
        db.run(c, "SCRIPT DEBUG sync");
        // A byte at a time; then the client is gone.
        db.world.says = whole[..end].iter().map(|byte| vec![*byte]).collect();
        assert_eq!(db.run_args(c, &[b"EVAL", b"return 7", b"0"]), ":7\r\n", "{end}");
        assert!(db.world.says.is_empty());
    }
}

/// Users of less rights left code for those of more.
#[test]
fn cve_2022_24735_nothing_is_left_for_the_next() {
    let mut db = Database::new();
    for attempt in [
        "function redis.call() end",
        "getmetatable(_G).__index = function() return 1 end",
        "setmetatable(_G, {__index = function() return 1 end})",
        "table.insert(KEYS, 'x') KEYS = nil",
        "string.rep = nil",
        "math.random = function() return 4 end",
        "_VERSION = 'x'",
        "rawset(_G, 'tostring', 1)",
        "setfenv(1, {}) redis = nil",
        "local e = getfenv(0) e.redis = nil",
    ] {
        eval_in(&mut db, attempt);
        let same = "return {type(redis.call), type(string.rep), type(tostring), math.random() < 1, _VERSION}";
        let kept = words(&eval_in(&mut db, same));
        assert_eq!(kept, "*5 function function function :1 Lua 5.1", "{attempt}");
    }
}

/// Scripts that cannot be compiled.
#[test]
fn cve_2022_24736_malformed_scripts() {
    let mut db = Database::new();
    let c = db.connect();
    for script in
        ["return (", "return \0", "\u{1b}Lua", "x = = 1", "for", "'", "[[", "--[[", "]]", "end", ""]
    {
        let load = db.run_args(c, &[b"SCRIPT", b"LOAD", script.as_bytes()]);
        let eval = db.run_args(c, &[b"EVAL", script.as_bytes(), b"0"]);
        let compiled = script.is_empty();
        assert_eq!(
            load.starts_with("-ERR Error compiling script"),
            !compiled,
            "{script:?}: {load}"
        );
        assert_eq!(
            eval.starts_with("-ERR Error compiling script"),
            !compiled,
            "{script:?}: {eval}"
        );
    }
    let long = format!("return {}", "(".repeat(100_000));
    let reply = db.run_args(c, &[b"SCRIPT", b"LOAD", long.as_bytes()]);
    assert!(reply.starts_with("-ERR Error compiling script"), "{reply}");
    let locals: String = (0..300).map(|n| format!("local v{n} ")).collect();
    assert!(db.run_args(c, &[b"SCRIPT", b"LOAD", locals.as_bytes()]).starts_with("-ERR"));
}

/// Room for a string as JSON was counted in too few bits.
#[test]
fn cve_2022_24834_long_strings_as_json() {
    let escaped = "local s = string.rep('\\1', 1048576) return #cjson.encode(s)";
    assert_eq!(eval(escaped), ":6291458\r\n");
}

/// A negative count of digits has an opposite, but for the least one.
#[test]
fn cve_2024_31449_digits_of_tohex() {
    for (digits, text) in [("-2147483648", "0000FFFF"), ("65535", "0000ffff"), ("-8", "0000FFFF")] {
        assert_eq!(words(&eval(&format!("return bit.tohex(65535, {digits})"))), text, "{digits}");
    }
}

/// A finalizer ran when its state was no more: nothing that scripts can make has one.
#[test]
fn cve_2024_46981_no_finalizers() {
    fails("return newproxy(true)", "nonexistent global variable 'newproxy'");
    let table = "ran = false";
    fails(table, "");
    let quiet = "setmetatable({}, {__gc = function() error('ran') end}) collectgarbage() return 1";
    assert_eq!(eval(quiet), ":1\r\n");
}

/// Ranges from one end of the numbers to the other.
#[test]
fn cve_2025_46817_ranges_of_unpack() {
    for range in
        ["-2, 2147483647", "0, 2147483647", "-2147483648, -2", "-2147483648, 2147483647", "1, 1e9"]
    {
        fails(&format!("return {{unpack({{1, 2, 3}}, {range})}}"), "too many results to unpack");
    }
    let counted = "return {select('#', unpack({1,2,3}, -1, 5)), select('#', unpack({}, 1, -1)), \
                   select('#', unpack({}, -2147483648, -2147483646))}";
    assert_eq!(words(&eval(counted)), "*3 :7 :0 :3");
}

/// What all strings, or all functions, have in common could be changed.
#[test]
fn cve_2025_46818_metatables_of_basic_types() {
    for value in [
        "nil",
        "''",
        "123.222",
        "true",
        "function() return 1 end",
        "coroutine.create(function() return 1 end)",
    ] {
        let reply = eval(&format!("getmetatable({value}).__index = function() return 1 end"));
        let is_refused = reply.contains("attempt to index a nil value")
            || reply.contains("Attempt to modify a readonly table");
        assert!(is_refused, "{value}: {reply}");
    }
}

/// The brackets of long strings were counted in too few bits.
#[test]
fn cve_2025_46819_brackets_of_long_strings() {
    let long = "local s = string.rep('=', 1048576) return #loadstring('return [' .. s .. '[x]' .. s .. ']')()";
    assert_eq!(eval(long), ":1\r\n");
    let open = "local s = string.rep('=', 1048576) return select(2, loadstring('return [' .. s))";
    assert!(eval(open).contains("invalid long string delimiter"));
    let unfinished = "return select(2, loadstring('return [==[x]=]'))";
    assert!(eval(unfinished).contains("unfinished long string"));
    let lines = "return type(loadstring(string.rep('\\n', 1048576)))";
    assert_eq!(words(&eval(lines)), "function");
}

/// The name of a chunk was collected while it was compiled, by a script that was asked for its pieces.
#[test]
fn cve_2025_49844_garbage_while_compiling() {
    let script = "local n = 0
        local f = load(function()
            collectgarbage() n = n + 1
            local waste = {} for i = 1, 100 do waste[i] = string.rep('x', i) .. n end
            return ({'return ', '(1)', '(', ')'})[n]
        end, 'a name ' .. string.rep('n', 100))
        local ok, why = pcall(f)
        return {n, tostring(ok), (string.find(why, 'a name nnn', 1, true))}";
    let reply = words(&eval(script));
    // What is said of the name is what it was.
    assert!(reply.starts_with("*3 :5 false"), "{reply}");
    let stress = "for i = 1, 300 do
            collectgarbage()
            local chunk = loadstring('local t = {' .. string.rep(\"'x',\", 64) .. '} return #t', '@' .. i .. string.rep('n', 96))
            if chunk() ~= 64 then return 'wrong' end
        end
        return 'right'";
    assert_eq!(words(&eval(stress)), "right");
}

/// A line's end within a status or an error began another reply.
#[test]
fn cve_2025_67733_one_reply_is_one_line() {
    for (script, reply) in [
        ("return {ok='a\\r\\n+b'}", "+a  +b\r\n"),
        ("return {err='ERR a\\r\\n+b'}", "-ERR a  +b\r\n"),
        ("return redis.error_reply('ERR a\\r\\n+b')", "-ERR a  +b\r\n"),
        ("return redis.status_reply('a\\r\\n+b')", "+a  +b\r\n"),
    ] {
        assert_eq!(eval(script), reply, "{script}");
    }
    let mut db = Database::new();
    let c = db.connect();
    let reply = db.run_args(c, &[b"FUNCTION", b"LIST", b"X\r\n+INJECTED"]);
    assert_eq!(reply.matches("\r\n").count(), 1, "{reply:?}");
    let raised = "error({err='ERR a\\r\\n+b'})";
    assert_eq!(eval(raised).matches("\r\n").count(), 1);
}

/// The page and the tests know of the same.
#[test]
fn the_page_tells_of_every_one() {
    let page = include_str!("../../../docs/security.md");
    let own = include_str!("script_cves.rs");
    for line in page.lines().filter(|line| line.starts_with("| CVE-")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let test = format!("fn {}_", cells[1].to_lowercase().replace('-', "_"));
        let (is_tried, has_reason) = (own.contains(&test), !cells[3].is_empty());
        assert!(is_tried != (cells[2] == "no") && has_reason, "{line}");
    }
    for test in own.lines().filter_map(|line| line.strip_prefix("fn cve_")) {
        let number: String = test.split('_').take(2).collect::<Vec<_>>().join("-");
        assert!(page.contains(&format!("| CVE-{number} |")), "{number}");
    }
}
