//! Scripts and functions, through the engine's public API: conversions, the sandbox, effects, flags, rules.

mod common;

use common::{Database, words};
use engine::Settings;
use sha1::{Digest, Sha1};

fn eval(db: &mut Database, script: &str) -> String {
    let c = db.connect();
    db.run_args(c, &[b"EVAL", script.as_bytes(), b"1", b"k", b"v"])
}

fn answers(rows: &[(&str, &str)]) {
    let mut db = Database::new();
    for (script, expected) in rows {
        assert_eq!(eval(&mut db, script), *expected, "{script}");
    }
}

#[test]
fn values_become_replies_and_back() {
    answers(&[
        ("return 3.99", ":3\r\n"),
        ("return -3.99", ":-3\r\n"),
        ("return {1, 'x', nil, 4}", "*2\r\n:1\r\n$1\r\nx\r\n"),
        ("return true", ":1\r\n"),
        ("return false", "$-1\r\n"),
        ("return {ok='fine'}", "+fine\r\n"),
        ("return {err='My Err'}", "-My Err\r\n"),
        ("return {double=1.5}", "$3\r\n1.5\r\n"),
        ("return {map={a=1}}", "*2\r\n$1\r\na\r\n:1\r\n"),
        ("return {set={x=true}}", "*1\r\n$1\r\nx\r\n"),
        ("return {big_number='123'}", "$3\r\n123\r\n"),
        ("return {verbatim_string={format='txt', string='hi'}}", "$2\r\nhi\r\n"),
        ("return {verbatim_string={format='txt'}}", "*0\r\n"),
        ("return tostring", "$-1\r\n"),
        // Each within others, and followed by others.
        (
            "return {{map={a={1, {ok='x'}, {map={b=false}}}}}, {set={[{2}]=true}}, {err='E x'}, 3}",
            "*4\r\n*2\r\n$1\r\na\r\n*3\r\n:1\r\n+x\r\n*2\r\n$1\r\nb\r\n$-1\r\n*1\r\n*1\r\n:2\r\n-E x\r\n:3\r\n",
        ),
        ("return {map={[{1, {2}}]={3}}}", "*2\r\n*2\r\n:1\r\n*1\r\n:2\r\n*1\r\n:3\r\n"),
        ("return {KEYS[1], ARGV[1], #KEYS, #ARGV}", "*4\r\n$1\r\nk\r\n$1\r\nv\r\n:1\r\n:1\r\n"),
        ("return redis.call('set', 'n', 10.5) and redis.call('get', 'n')", "$4\r\n10.5\r\n"),
        ("return redis.call('set', 'n', 3) and redis.call('get', 'n')", "$1\r\n3\r\n"),
        ("return tostring(redis.call('get', 'nosuch'))", "$5\r\nfalse\r\n"),
        (
            "redis.call('hset', 'h', 'f', 'v') redis.setresp(3) return redis.call('hgetall', 'h').map.f",
            "$1\r\nv\r\n",
        ),
    ]);
}

/// Clients tell errors by their texts, and a script's by the script and the line.
#[test]
fn errors_say_where() {
    answers(&[
        ("return redis.pcall('nosuch')", "-ERR Unknown Redis command called from script\r\n"),
        (
            "return redis.pcall('subscribe', 'x')",
            "-ERR This Redis command is not allowed from script\r\n",
        ),
    ]);
    let mut db = Database::new();
    let reply = eval(&mut db, "\nreturn redis.call('nosuch')");
    assert!(reply.starts_with("-ERR Unknown Redis command called from script script: "), "{reply}");
    assert!(reply.ends_with(", on @user_script:2.\r\n"), "{reply}");
    // What `pcall` catches of a command is its text.
    let reply = eval(&mut db, "local _, why = pcall(redis.call, 'nosuch') return why");
    assert_eq!(words(&reply), "ERR Unknown Redis command called from script");
}

/// What a script puts into a global, or into a library, the next one would run: CVE-2022-24735 and its kin.
#[test]
fn nothing_of_a_script_is_seen_by_the_next() {
    let readonly = "Attempt to modify a readonly table";
    let mut db = Database::new();
    for attempt in [
        "x = 1",
        "redis = 1",
        "KEYS = {}",
        "_G = {}",
        "_G.x = 1",
        "redis.call = 1",
        "string.format = 1",
        "cjson.encode = 1",
        "setmetatable(_G, {})",
        "setmetatable(redis, {})",
        "rawset(_G, 'x', 1)",
        "rawset(string, 'rep', 1)",
        "getmetatable(_G).__index = 1",
        "getmetatable('').__index = 1",
        "getmetatable('').__index.rep = 1",
        "table.insert(redis, 1)",
        "table.sort(redis)",
        "setfenv(0, {})",
    ] {
        let reply = eval(&mut db, attempt);
        assert!(reply.contains(readonly), "{attempt}: {reply}");
    }
    for missing in ["print", "dofile", "loadfile", "newproxy", "require", "io", "debug", "package"]
    {
        let text = format!("Script attempted to access nonexistent global variable '{missing}'");
        let reply = eval(&mut db, &format!("return {missing}"));
        assert!(reply.contains(&text), "{missing}: {reply}");
    }
    // What can be read can be read all the same.
    assert_eq!(
        eval(&mut db, "local n = 0 for _ in pairs(redis) do n = n + 1 end return n > 9"),
        ":1\r\n"
    );
    assert_eq!(eval(&mut db, "return rawget(_G, 'redis') ~= nil"), ":1\r\n");
}

/// Compiled code may do anything: it is how most of what went wrong in scripts began.
#[test]
fn compiled_code_is_not_loaded() {
    let mut db = Database::new();
    for script in [
        "return loadstring(string.dump(function() return 1 end)) == nil",
        "return loadstring('\\27Lua') == nil",
        "local p = {string.dump(function() end)} return load(function() return table.remove(p) end) == nil",
    ] {
        assert_eq!(eval(&mut db, script), ":1\r\n", "{script}");
    }
}

/// What a script takes, and how deep it goes, ends in an error of its own. CVE-2021-32626, CVE-2022-24834,
/// CVE-2018-11218, CVE-2025-46817 were stacks and buffers that did not.
#[test]
fn too_much_of_anything_is_an_error() {
    let mut db = Database::new();
    for (script, why) in [
        ("return string.rep('x', 2147483647)", "not enough memory"),
        ("local s = 'x' while true do s = s .. s end", "not enough memory"),
        ("local function f() return 1 + f() end return f()", "stack overflow"),
        ("return unpack({}, 1, 1e8)", "too many results to unpack"),
        ("return unpack({}, -2147483648, 2147483647)", "too many results to unpack"),
        ("return unpack({}, 0, 2147483647)", "too many results to unpack"),
        ("local t = {} t[1] = t return cjson.encode(t)", "excessive nesting"),
        (
            "cjson.decode_max_depth(2147483647) return cjson.decode(string.rep('[', 100000))",
            "too many nested",
        ),
        (
            "cjson.encode_max_depth(2147483647) local t = {} t[1] = t return cjson.encode(t)",
            "nesting",
        ),
        ("return cmsgpack.unpack(string.rep('\\145', 100000))", "stack overflow"),
        ("return cmsgpack.unpack('\\221\\255\\255\\255\\255')", "Missing bytes"),
        ("return struct.unpack('c2147483647', 'x')", "data string too short"),
        ("return struct.pack('i2147483648', 1)", "integral size overflow"),
        ("return struct.unpack('I33', string.rep('x', 40))", "larger than limit"),
    ] {
        let reply = eval(&mut db, script);
        assert!(reply.starts_with("-ERR") && reply.contains(why), "{script}: {reply}");
    }
    // CVE-2024-31449: the least of all numbers has no opposite.
    assert_eq!(eval(&mut db, "return bit.tohex(1, -2147483648)"), "$8\r\n00000001\r\n");
    // A table within itself as a reply: as an element, a value, a key, a member.
    for script in [
        "local t = {} t[1] = t return t",
        "local t = {map={}} t.map.a = t return t",
        "local t = {map={}} t.map[t] = 1 return t",
        "local t = {set={}} t.set[t] = true return t",
    ] {
        let reply = eval(&mut db, script);
        assert!(reply.contains("-ERR reached lua stack limit"), "{script}");
    }
    assert_eq!(eval(&mut db, "return 'still here'"), "$10\r\nstill here\r\n");
}

/// What it had taken was garbage that nobody collected: the gigabyte stayed, and who came next had what was left
/// below the bound.
#[test]
fn a_script_that_ran_out_of_memory_leaves_it_to_the_next() {
    let mut db = Database::new();
    let bomb = "local s = 'x' while true do s = s .. s end";
    let caught = format!("return select(2, pcall(function() {bomb} end))");
    assert_eq!(words(&eval(&mut db, &caught)), "not enough memory");
    // Its stack takes some twenty megabytes, and a stack that grows collects nothing.
    let locals: Vec<_> = (0..150).map(|n| format!("a{n}")).collect();
    let deep = format!(
        "local function f(n) local {} if n > 0 then return 1 + f(n - 1) end return 0 end return f(9000)",
        locals.join(", ")
    );
    assert_eq!(eval(&mut db, &deep), ":9000\r\n");
}

/// CVE-2025-67733: what a script says as one line is one.
#[test]
fn a_status_or_an_error_cannot_begin_another_reply() {
    answers(&[
        ("return {ok='a\\r\\n+b'}", "+a  +b\r\n"),
        ("return {err='ERR a\\r\\n+b'}", "-ERR a  +b\r\n"),
        ("return redis.error_reply('ERR a\\r\\n+b')", "-ERR a  +b\r\n"),
        ("return redis.status_reply('a\\r\\n+b')", "+a  +b\r\n"),
    ]);
}

#[test]
fn effects_travel_as_one_transaction() {
    let mut db = Database::new();
    eval(
        &mut db,
        "redis.call('set', KEYS[1], ARGV[1]) redis.call('incr', 'n') return redis.call('get', 'n')",
    );
    assert_eq!(db.stream(), "MULTI SELECT 0 set k v incr n EXEC");
    eval(&mut db, "return redis.call('incr', 'n')");
    assert_eq!(db.stream(), "incr n");
    eval(&mut db, "return redis.call('get', 'n')");
    assert_eq!(db.stream(), "");
    eval(
        &mut db,
        "redis.set_repl(redis.REPL_NONE) redis.call('incr', 'n') redis.set_repl(redis.REPL_ALL) \
                   return redis.call('incr', 'm')",
    );
    assert_eq!(db.stream(), "incr m");
    eval(&mut db, "redis.set_repl(redis.REPL_AOF) return redis.call('incr', 'n')");
    assert_eq!(db.stream(), "");
}

/// A database that a script selects is its own.
#[test]
fn a_script_selects_for_itself() {
    let mut db = Database::new();
    let c = db.connect();
    db.run_args(c, &[b"EVAL", b"redis.call('select', 3) redis.call('set', 'a', 1)", b"0"]);
    assert_eq!(db.run(c, "DBSIZE"), ":0\r\n");
    assert_eq!(db.stream(), "SELECT 3 set a 1");
}

/// A script makes its effects of what it reads, and a set has an order of its own everywhere.
#[test]
fn a_script_gets_a_set_in_order_where_a_client_gets_it_as_it_is() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SADD s b aa a");
    assert_eq!(words(&db.run(c, "SORT s BY _")), "*3 b aa a");
    assert_eq!(words(&eval(&mut db, "return redis.call('sort', 's', 'by', '_')")), "*3 a aa b");
}

/// Scripts that ended in an error of their own counted as calls that went well.
#[test]
fn a_script_that_answers_an_error_has_failed() {
    for (script, failed) in [
        ("return redis.call('incr', 'nosuch', 2)", 1),
        ("return redis.pcall('incr', 'nosuch', 2)", 1),
        ("return redis.error_reply('MINE')", 1),
        ("redis.pcall('incr', 'nosuch', 2) return 1", 0),
    ] {
        let mut db = Database::new();
        eval(&mut db, script);
        let c = db.connect();
        let stats = db.run(c, "INFO commandstats");
        let line = stats.lines().find(|line| line.starts_with("cmdstat_eval:")).unwrap_or(&stats);
        assert!(line.ends_with(&format!("failed_calls={failed}")), "{script}: {line}");
    }
}

#[test]
fn flags_are_what_a_script_is_judged_by() {
    let mut db = Database::new();
    let c = db.connect();
    let run = |db: &mut Database, command: &[u8], script: &str| {
        db.run_args(c, &[command, script.as_bytes(), b"0"])
    };
    let writes = "return redis.pcall('set', 'a', 'b')";
    let denied = "-ERR Write commands are not allowed from read-only scripts.\r\n";
    assert_eq!(run(&mut db, b"EVAL", &format!("#!lua flags=no-writes\n{writes}")), denied);
    assert_eq!(run(&mut db, b"EVAL_RO", writes), denied);
    assert_eq!(
        run(&mut db, b"EVAL_RO", &format!("#!lua\n{writes}")),
        "-ERR Can not execute a script with write flag using *_ro command.\r\n"
    );
    assert_eq!(run(&mut db, b"EVAL", &format!("#!lua\n{writes}")), "+OK\r\n");
    assert_eq!(
        run(&mut db, b"EVAL", "#!lua flags=x\n"),
        "-ERR Unexpected flag in script shebang: x\r\n"
    );
    // A script that declares nothing of itself may read where no writes are possible.
    db.engine.role = engine::Role::Replica { link_up: true };
    assert_eq!(run(&mut db, b"EVAL", "return 1"), ":1\r\n");
    assert!(run(&mut db, b"EVAL", writes).starts_with("-READONLY You can't write against"));
    assert_eq!(
        run(&mut db, b"EVAL", "#!lua\nreturn 1"),
        "-READONLY You can't write against a read only replica.\r\n"
    );
}

/// Once it has written a script cannot be stopped for want of memory; before, it is.
#[test]
fn memory_is_looked_at_before_the_first_write() {
    let mut db = Database::with(Settings { maxmemory_bytes: 1, ..Settings::default() });
    db.world.times_full.set(u32::MAX);
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    assert_eq!(eval(&mut db, "return redis.pcall('set', 'a', 1)"), oom);
    assert_eq!(eval(&mut db, "redis.call('del', 'x') return redis.call('set', 'a', 1)"), "+OK\r\n");
    assert_eq!(eval(&mut db, "#!lua\nreturn 1"), oom);
    assert_eq!(eval(&mut db, "#!lua flags=allow-oom\nreturn redis.call('set', 'a', 1)"), "+OK\r\n");
}

#[test]
fn scripts_are_known_by_their_digest() {
    let mut db = Database::new();
    let c = db.connect();
    let sha = "$40\r\n1fa00e76656cc152ad327c13fe365858fd7be306\r\n";
    assert_eq!(db.run_args(c, &[b"SCRIPT", b"LOAD", b"return 42"]), sha);
    assert_eq!(db.run(c, "EVALSHA 1FA00E76656CC152AD327C13FE365858FD7BE306 0"), ":42\r\n");
    assert_eq!(
        db.run(c, "SCRIPT EXISTS 1fa00e76656cc152ad327c13fe365858fd7be306 x"),
        "*2\r\n:1\r\n:0\r\n"
    );
    assert_eq!(db.run(c, "SCRIPT FLUSH"), "+OK\r\n");
    let missing = "-NOSCRIPT No matching script. Please use EVAL.\r\n";
    assert_eq!(db.run(c, "EVALSHA 1fa00e76656cc152ad327c13fe365858fd7be306 0"), missing);
    // Scripts of EVAL are many and short-lived: the least recently used go, those of SCRIPT LOAD stay.
    db.run_args(c, &[b"SCRIPT", b"LOAD", b"return 42"]);
    for n in 0..600 {
        db.run_args(c, &[b"EVAL", format!("return {n}").as_bytes(), b"0"]);
    }
    assert!(db.run(c, "INFO stats").contains("evicted_scripts:99\r\n"));
    db.run(c, "CONFIG RESETSTAT");
    assert!(db.run(c, "INFO stats").contains("evicted_scripts:0\r\n"), "counted from then on");
    assert_eq!(db.run(c, "EVALSHA 1fa00e76656cc152ad327c13fe365858fd7be306 0"), ":42\r\n");
}

#[test]
fn libraries_travel_verbatim_and_their_functions_by_effects() {
    let mut db = Database::new();
    let c = db.connect();
    let code = b"#!lua name=lib\nredis.register_function('f', function(keys, args) \
                 return redis.call('set', keys[1], args[1]) end)";
    assert_eq!(db.run_args(c, &[b"FUNCTION", b"LOAD", code]), "$3\r\nlib\r\n");
    assert!(db.stream().starts_with("FUNCTION LOAD #!lua name=lib"));
    assert_eq!(db.run(c, "FCALL f 1 k v"), "+OK\r\n");
    assert_eq!(db.stream(), "SELECT 0 set k v");
    assert_eq!(
        db.run(c, "FCALL_RO f 1 k v"),
        "-ERR Can not execute a script with write flag using *_ro command.\r\n"
    );
    let again = db.run_args(c, &[b"FUNCTION", b"LOAD", code]);
    assert_eq!(again, "-ERR Library 'lib' already exists\r\n");
    let clash = String::from_utf8_lossy(code).replace("name=lib", "name=other");
    let clash = db.run_args(c, &[b"FUNCTION", b"LOAD", clash.as_bytes()]);
    assert_eq!(clash, "-ERR Function f already exists\r\n");
    assert_eq!(db.engine.library_codes(), [code.to_vec()]);
    assert_eq!(db.run(c, "FUNCTION DELETE lib"), "+OK\r\n");
    assert_eq!(db.stream(), "FUNCTION DELETE lib");
    assert_eq!(db.run(c, "FCALL f 1 k v"), "-ERR Function not found\r\n");
    // What a failed load has registered is gone.
    let broken = b"#!lua name=lib\nredis.register_function('f', function() end) error('x')";
    assert!(
        db.run_args(c, &[b"FUNCTION", b"LOAD", broken]).contains("Error registering functions")
    );
    assert_eq!(db.run(c, "FCALL f 0"), "-ERR Function not found\r\n");
}

/// A library that never comes to an end would be a server that never does.
#[test]
fn loading_a_library_ends() {
    let mut db = Database::new();
    let c = db.connect();
    let code = b"#!lua name=lib\nwhile true do end";
    let reply = db.run_args(c, &[b"FUNCTION", b"LOAD", code]);
    assert!(reply.contains("FUNCTION LOAD timeout"), "{reply}");
    let reply = db.run_args(
        c,
        &[
            b"FUNCTION",
            b"LOAD",
            b"#!lua name=l\nredis.register_function('f', function() return 1 end)",
        ],
    );
    assert_eq!(reply, "$1\r\nl\r\n");
    assert_eq!(db.run(c, "FCALL f 0"), ":1\r\n");
}

/// Nor does one that a master or a snapshot brings: what such a library was tried for went on for ever, so that the
/// replica could not follow anybody any more.
#[test]
fn loading_a_library_that_is_obeyed_ends() {
    let loads = [b"#!lua name=lib\nwhile true do end".to_vec()];
    let error = engine::check_libraries(&loads).unwrap_err();
    assert!(error.as_str().contains("FUNCTION LOAD timeout"), "{error:?}");
}

/// `xpcall` calls its handler as Lua's does, also when that fails in its turn.
#[test]
fn errors_are_handled() {
    let wants_text = "function(e) if type(e) ~= 'string' then error('again', 0) end return e end";
    answers(&[
        ("return {xpcall(function() return 1, 2 end, tostring)}", "*3\r\n:1\r\n:1\r\n:2\r\n"),
        ("return {xpcall(function(a) return a == nil end, tostring, 1)}", "*2\r\n:1\r\n:1\r\n"),
        (
            "local ok, e = xpcall(function() error('x', 0) end, function(e) return e .. 'y', 2 end) \
             return {tostring(ok), e}",
            "*2\r\n$5\r\nfalse\r\n$2\r\nxy\r\n",
        ),
        (
            &format!("return select(2, xpcall(function() error({{}}) end, {wants_text}))"),
            "$5\r\nagain\r\n",
        ),
        (
            "return select(2, xpcall(function() error('x') end, function() error('y') end))",
            "$23\r\nerror in error handling\r\n",
        ),
        (
            "return select(2, xpcall(function() error('x') end, nil))",
            "$23\r\nerror in error handling\r\n",
        ),
        (
            "return select(2, xpcall(redis.call, function(e) return e.err end))",
            "$64\r\nERR Please specify at least one argument for this redis lib call\r\n",
        ),
    ]);
}

/// Libraries of a dump come together or not at all.
#[test]
fn a_dump_is_restored_by_its_policy() {
    let mut db = Database::new();
    let c = db.connect();
    for name in ["a", "b"] {
        let code = format!(
            "#!lua name={name}\nredis.register_function('f{name}', function() return 1 end)"
        );
        db.run_args(c, &[b"FUNCTION", b"LOAD", code.as_bytes()]);
    }
    let dump = persist::rdb::dump_functions(&db.engine.library_codes(), persist::rdb::Version::V10);
    assert_eq!(
        db.run_args(c, &[b"FUNCTION", b"RESTORE", &dump]),
        "-ERR Library a already exists\r\n"
    );
    assert_eq!(db.run_args(c, &[b"FUNCTION", b"RESTORE", &dump, b"REPLACE"]), "+OK\r\n");
    db.run(c, "FUNCTION DELETE a");
    assert_eq!(db.run_args(c, &[b"FUNCTION", b"RESTORE", &dump, b"FLUSH"]), "+OK\r\n");
    assert_eq!(words(&db.run(c, "FUNCTION STATS")).matches(":2").count(), 2);
    let mut damaged = dump.clone();
    damaged[5] ^= 1;
    assert_eq!(
        db.run_args(c, &[b"FUNCTION", b"RESTORE", &damaged]),
        "-ERR DUMP payload version or checksum are wrong\r\n"
    );
}

/// A transaction's commands are counted one by one, and so are a script's.
#[test]
fn commands_of_a_script_are_counted() {
    let mut db = Database::new();
    let c = db.connect();
    db.run_args(c, &[b"EVAL", b"redis.call('set', 'a', 1) return redis.pcall('get')", b"0"]);
    let stats = db.run(c, "INFO commandstats");
    assert!(stats.contains("cmdstat_set:calls=1,"), "{stats}");
    assert!(stats.contains("cmdstat_eval:calls=1,"), "{stats}");
    assert!(
        stats.contains("cmdstat_get:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1"),
        "{stats}"
    );
    assert!(db.run(c, "INFO errorstats").contains("errorstat_ERR:count=1"));
}

#[test]
fn libraries_are_as_redis_has_them() {
    answers(&[
        (
            "return cjson.encode({1, 2, {a = 'x/'}, cjson.null})",
            "$22\r\n[1,2,{\"a\":\"x\\/\"},null]\r\n",
        ),
        ("return cjson.decode('{\"a\":[1,2,{\"b\":\"\\\\u00e9\"}]}').a[3].b", "$2\r\n\u{e9}\r\n"),
        ("return cmsgpack.unpack(cmsgpack.pack({1, 2}))[2]", ":2\r\n"),
        (
            "return {struct.unpack('>Ihb', struct.pack('>Ihb', 1, 2, 3))}",
            "*4\r\n:1\r\n:2\r\n:3\r\n:8\r\n",
        ),
        ("return bit.tohex(bit.bswap(0x12345678))", "$8\r\n78563412\r\n"),
    ]);
}

/// A script of EVAL that came when all that are kept had been used again was the first to be
/// forgotten, before it ran: its client was told to use EVAL, who had.
#[test]
fn a_new_script_of_eval_runs_when_all_kept_ones_were_used_again() {
    let mut db = Database::new();
    let c = db.connect();
    let eval = |db: &mut Database, n: u32| {
        assert_eq!(db.run(c, &format!("EVAL return({n}) 0")), format!(":{n}\r\n"));
    };
    (0..500).for_each(|n| eval(&mut db, n));
    // The later ones first: what was used least recently is 499 now.
    (0..500).rev().for_each(|n| eval(&mut db, n));
    eval(&mut db, 500);
    let known = |db: &mut Database, n: u32| {
        let digest = Sha1::digest(format!("return({n})"));
        let sha: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        db.run(c, &format!("SCRIPT EXISTS {sha}")) == "*1\r\n:1\r\n"
    };
    let gone: Vec<u32> = (0..=500).filter(|n| !known(&mut db, *n)).collect();
    assert_eq!(gone, [499]);
}
