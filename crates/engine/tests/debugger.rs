//! The debugger of scripts, through the engine's public API: where it stops, what it tells, how a session ends.
//! What Redis tells was taken from Redis 7.0.15, line by line.

mod common;

use common::Database;
use engine::{ClientId, Settings};

const SCRIPT: &str = "local a = 5\n\
                      local function add(x, y)\n  local z = x + y\n  return z\nend\n\
                      redis.call('set', KEYS[1], 'v')\n\
                      redis.debug('hi', a, nil, {1, 2})\n\
                      for i = 1, 2 do\n  a = add(a, i)\nend\n\
                      return a";

fn request(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// A client whose scripts are debugged.
fn debugged(db: &mut Database) -> ClientId {
    let client = db.connect();
    assert_eq!(db.run(client, "SCRIPT DEBUG SYNC"), "+OK\r\n");
    client
}

fn eval(db: &mut Database, client: ClientId, script: &str) -> String {
    db.run_args(client, &[b"EVAL", script.as_bytes(), b"1", b"k", b"v"])
}

/// What was told, a line a line: heads of replies stand alone.
fn told(db: &mut Database) -> Vec<String> {
    let text = String::from_utf8(std::mem::take(&mut db.world.told)).expect("it is text");
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

/// Runs a script while the client says `lines`; what it was told, and what the script has returned.
fn session(script: &str, lines: &[&str]) -> (Vec<String>, String) {
    let mut db = Database::new();
    let client = debugged(&mut db);
    db.world.says = lines.iter().map(|line| request(line)).collect();
    let reply = eval(&mut db, client, script);
    (told(&mut db), reply)
}

#[test]
fn it_stops_at_every_line_and_tells_what_commands_do() {
    let (told, reply) = session(SCRIPT, &["s", "step", "N", "next", "s", "c"]);
    let expected = [
        "*2",
        "+* Stopped at 1, stop reason = step over",
        "+-> 1   local a = 5",
        "*2",
        "+* Stopped at 5, stop reason = step over",
        "+-> 5   end",
        "*2",
        "+* Stopped at 6, stop reason = step over",
        "+-> 6   redis.call('set', KEYS[1], 'v')",
        "*4",
        "+<redis> set k v",
        "+<reply> \"+OK\"",
        "+* Stopped at 7, stop reason = step over",
        "+-> 7   redis.debug('hi', a, nil, {1, 2})",
        "*3",
        "+<debug> line 7: \"hi\", 5, nil, {1; 2}",
        "+* Stopped at 8, stop reason = step over",
        "+-> 8   for i = 1, 2 do",
        "*2",
        "+* Stopped at 9, stop reason = step over",
        "+-> 9     a = add(a, i)",
        "*1",
        "+<endsession>",
    ];
    assert_eq!(told, expected);
    assert_eq!(reply, ":8\r\n");
}

#[test]
fn breakpoints_hold_where_they_are_set_and_as_long() {
    let (told, _) = session(SCRIPT, &["b 4 99 x", "b", "c", "t", "p", "p a", "b -4 -4", "c"]);
    let expected = [
        "*2",
        "+* Stopped at 1, stop reason = step over",
        "+-> 1   local a = 5",
        "*5",
        "+   3     local z = x + y",
        "+  #4     return z",
        "+   5   end",
        "+Wrong line number.",
        "+Invalid argument:'x'",
        "*2",
        "+1 breakpoints set:",
        "+  #4     return z",
        "*3",
        "+<debug> line 7: \"hi\", 5, nil, {1; 2}",
        "+* Stopped at 4, stop reason = break point",
        "+->#4     return z",
        "*4",
        "+In add:",
        "+->#4     return z",
        "+From top level:",
        "+   9     a = add(a, i)",
        "*3",
        "+<value> x = 5",
        "+<value> y = 1",
        "+<value> z = 6",
        "*1",
        "+<value> 5",
        "*2",
        "+Breakpoint removed.",
        "+No breakpoint in the specified line.",
        "*1",
        "+<endsession>",
    ];
    assert_eq!(told, expected);
}

#[test]
fn code_and_commands_of_the_client_s_run_amid_the_script() {
    let lines = [
        "e 1 + 1",
        "e x =",
        "e redis.call('nosuch')",
        "e redis.call('set', 'made', 1)",
        "r incr made",
        "r nosuch",
        "p KEYS",
        "p nosuch",
        "r",
        "c",
    ];
    let mut db = Database::new();
    let client = debugged(&mut db);
    db.world.says = lines.iter().map(|line| request(line)).collect();
    assert_eq!(eval(&mut db, client, "return redis.call('get', 'made')"), "$1\r\n2\r\n");
    let expected = [
        "*1",
        "+<retval> 2",
        "*1",
        "+<error> ldb_eval:1: unexpected symbol near '<eof>'",
        "*1",
        "+<error> ERR Unknown Redis command called from script",
        "*1",
        "+<retval> {[\"ok\"]=\"OK\"}",
        "*2",
        "+<redis> incr made",
        "+<reply> 2",
        "*2",
        "+<redis> nosuch",
        "+<error> Unknown Redis command called from script",
        "*1",
        "+<value> {\"k\"}",
        "*1",
        "+No such variable.",
        "*1",
        "+<error> Unknown Redis Lua debugger command or wrong number of arguments.",
        "*1",
        "+<endsession>",
    ];
    assert_eq!(told(&mut db)[3..], expected);
    // What it has done leaves as any script's does.
    assert!(db.stream().contains("INCRBY made 1") || db.stream().is_empty());
}

/// A debugger that is left open must not hold the server, nor half a script be kept.
#[test]
fn a_client_that_goes_leaves_the_script_to_run_to_its_end() {
    let mut db = Database::new();
    let client = debugged(&mut db);
    db.world.says = [request("b 2")].into();
    let script = "redis.call('set', 'a', 1)\nredis.call('set', 'b', 2)\nreturn 3";
    assert_eq!(eval(&mut db, client, script), ":3\r\n");
    assert!(db.engine.client(client).is_some_and(|client| client.close_after_reply));
    let other = db.connect();
    assert_eq!(common::words(&db.run(other, "MGET a b")), "*2 1 2");
    // Nor is the next script debugged.
    assert_eq!(eval(&mut db, other, "return 4"), ":4\r\n");
    assert!(db.world.says.is_empty());
}

#[test]
fn abort_is_not_caught_by_the_script() {
    let script = "while true do\n  pcall(function()\n    redis.call('incr', 'n')\n  end)\nend";
    let (told, reply) = session(script, &["s", "s", "a"]);
    assert_eq!(told.last().map(String::as_str), Some("+<endsession>"));
    assert!(reply.starts_with("-ERR script aborted for user request script: "), "{reply}");
    assert!(reply.ends_with(", on @user_script:2.\r\n"), "{reply}");
}

#[test]
fn what_is_no_request_ends_the_script() {
    for garbage in [&b"PING\r\n"[..], b"*1\r\n$0\r\n\r\n", b"*1025\r\n"] {
        let mut db = Database::new();
        let client = debugged(&mut db);
        db.world.says = [garbage.to_vec()].into();
        let reply = eval(&mut db, client, "return 1");
        assert!(reply.starts_with("-ERR protocol error script: "), "{reply}");
    }
    let mut db = Database::new();
    let client = debugged(&mut db);
    db.world.says = std::iter::once(b"*1\r\n$1000\r\n".to_vec())
        .chain(std::iter::repeat_n(vec![b'x'; 900], 1))
        .chain([b"*2000\r\n".to_vec()])
        .collect();
    // Bytes of a request in pieces are waited for; then the client is gone.
    assert_eq!(eval(&mut db, client, "return 1"), ":1\r\n");
}

/// A script that holds the server while a person thinks can be ended by others, as one that runs for long.
#[test]
fn others_are_told_that_it_is_busy_and_may_end_it() {
    for (command, ends) in [("SCRIPT KILL", true), ("GET k", false), ("SHUTDOWN NOSAVE", true)] {
        let mut db = Database::new();
        let (client, other) = (debugged(&mut db), db.connect());
        db.world.says = [Vec::new(), request("c")].into();
        db.world.others_say = [(other, command)].into();
        let reply = eval(&mut db, client, "local a = 1\nreturn a");
        let answer = db.replies(other);
        assert_eq!(reply.starts_with("-ERR Script killed by user"), ends, "{command}: {reply}");
        assert_eq!(answer.starts_with("-BUSY"), !ends, "{command}: {answer}");
        assert_eq!(eval(&mut db, other, "return 7"), ":7\r\n");
    }
}

/// The client's own code has no hook within the hook that runs it, unless it is given one.
#[test]
fn endless_code_of_the_client_s_can_be_ended() {
    let mut db = Database::with(Settings { busy_reply_threshold_ms: 1, ..Settings::default() });
    let (client, other) = (debugged(&mut db), db.connect());
    db.world.step_us.set(10_000);
    db.world.says = [request("e while true do end"), request("c")].into();
    db.world.others_say = [(other, "SCRIPT KILL")].into();
    let reply = eval(&mut db, client, "return 1");
    assert!(reply.starts_with("-ERR Script killed by user"), "{reply}");
    assert_eq!(db.replies(other), "+OK\r\n");
    assert_eq!(eval(&mut db, other, "return 7"), ":7\r\n");
}

#[test]
fn a_script_that_does_not_end_stops_by_itself() {
    let mut db = Database::with(Settings { busy_reply_threshold_ms: 1, ..Settings::default() });
    let client = debugged(&mut db);
    db.world.step_us.set(10_000);
    db.world.says = [request("c")].into();
    let reply = eval(&mut db, client, "while true do end");
    assert!(
        told(&mut db)
            .contains(&"+* Stopped at 1, stop reason = timeout reached, infinite loop?".to_owned())
    );
    let why = "-ERR timeout during Lua debugging with client closing connection script: ";
    assert!(reply.starts_with(why), "{reply}");
}

/// A table that holds itself ten times was shown ten thousand million times.
#[test]
fn what_is_shown_is_bounded() {
    let script =
        "local t = {}\nfor i = 1, 10 do t[i] = t end\nlocal s = string.rep('x', 1000)\nreturn 1";
    let lines = ["b 4", "c", "p t", "p s", "m 10", "p s", "m 0", "p s", "c"];
    let (told, _) = session(script, &lines);
    let value = |at: usize| told.iter().filter(|line| line.starts_with("+<value> ")).nth(at);
    assert_eq!(value(0).map(String::len), Some(1 + 256 + 4), "{told:?}");
    assert!(value(0).is_some_and(|line| line.ends_with(" ...")));
    let hint = "+<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.";
    assert_eq!(told.iter().filter(|line| *line == hint).count(), 1);
    assert_eq!(value(2).map(String::as_str), Some("+<value> replies are truncated at 60 bytes."));
    assert_eq!(value(3).map(String::len), Some(1 + 60 + 4));
    assert_eq!(value(5).map(String::len), Some(1 + "<value> ".len() + 1002));
}

/// What a session tells leaves at once: in the midst of a pipeline it would come before what was answered earlier.
#[test]
fn sessions_begin_where_nothing_else_is_on_its_way() {
    let mut db = Database::new();
    let client = db.connect();
    db.engine.client_mut(client).expect("it is there").out.ok();
    assert_eq!(
        db.run(client, "SCRIPT DEBUG SYNC"),
        "+OK\r\n-ERR SCRIPT DEBUG must be called outside a pipeline\r\n"
    );
    assert_eq!(db.run(client, "SCRIPT DEBUG maybe"), "-ERR Use SCRIPT DEBUG YES/SYNC/NO\r\n");
    let client = debugged(&mut db);
    db.run(client, "MULTI");
    db.run_args(client, &[b"EVAL", b"return 1", b"0"]);
    assert!(db.run(client, "EXEC").contains("-ERR EVAL must be called outside a pipeline"));
    let refused = "-ERR Please use EVAL instead of EVALSHA for debugging\r\n";
    assert_eq!(db.run(client, &format!("EVALSHA {} 0", "a".repeat(40))), refused);
    assert_eq!(db.run(client, "SCRIPT DEBUG NO"), "+OK\r\n");
    assert_eq!(eval(&mut db, client, "return redis.breakpoint()"), "$-1\r\n");
    assert_eq!(db.run(client, "SCRIPT DEBUG YES"), "+OK\r\n");
    // This world has no processes.
    assert!(eval(&mut db, client, "return 1").starts_with("-ERR Fork() failed"));
    assert_eq!(db.run(client, "RESET"), "+RESET\r\n");
    assert_eq!(eval(&mut db, client, "return 1"), ":1\r\n");
}

#[test]
fn a_session_is_told_of_what_cannot_run_at_all() {
    let (told, reply) = session("return (", &[]);
    assert_eq!(told, ["*1", "+<endsession>"]);
    assert!(reply.starts_with("-ERR Error compiling script"), "{reply}");
    let (told, reply) = session("redis.breakpoint()\nreturn 1", &["c", "c"]);
    assert!(told.contains(&"+* Stopped at 2, stop reason = redis.breakpoint() called".to_owned()));
    assert_eq!(reply, ":1\r\n");
}
