//! Scenario S3, containers, by what the image's entry point starts of the configurations that one mounts. The
//! engine itself, with its networks and volumes, is in `make containers`.

#![allow(clippy::disallowed_methods, reason = "what operators do to files and processes")]

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use tandem_tests::pairings;
use tempfile::TempDir;
use testkit::process::{read_lossy, write_script};
use testkit::replication::wait_equal;
use testkit::{Kind, Server, ServerBuilder, binaries};

/// An image: the entry point, and the server that it finds on its PATH.
struct Image {
    dir: TempDir,
}

impl Image {
    fn of(kind: Kind) -> Image {
        let image = Image { dir: tempfile::tempdir().expect("a folder") };
        let entry = read_lossy(&binaries::workspace_root().join("docker/docker-entrypoint.sh"));
        let known = image.path("arguments");
        let entry = entry.replace("/run/redis/arguments", &known.to_string_lossy());
        write_script(&image.path("docker-entrypoint.sh"), &entry);
        // As with `--user`: nobody is root here, and /data is nobody else's.
        write_script(&image.path("bin/id"), "#!/bin/sh\necho 999\n");
        symlink(kind.program(), image.path("bin/redis-server")).expect("a link");
        image
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `docker run IMAGE /etc/redis/redis.conf`, with /data as the server's folder.
    fn run(&self, kind: Kind) -> ServerBuilder {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        Server::of(kind).program(self.path("docker-entrypoint.sh")).environment("PATH", path)
    }
}

/// A master and a replica, each with its mounted configuration and no word on protected mode.
fn s3_1_docker_run_of_a_master_and_a_replica(m: Kind, r: Kind) {
    let (master_image, replica_image) = (Image::of(m), Image::of(r));
    let master = master_image.run(m).name("master").set("appendonly yes").start();
    let configured = "replica-read-only yes\nappendonly yes";
    let replica = replica_image.run(r).name("replica").set(configured).replica_of(&master).start();
    replica.wait_link_up();
    for server in [&master, &replica] {
        assert_eq!(server.config("protected-mode"), "no", "what reaches a container may ask");
    }
    master.good("SET hello ahri");
    wait_equal(&master, &replica);
    assert_eq!(replica.good("GET hello").text(), "ahri");
    assert!(replica.run("SET k v").error().starts_with("READONLY"));
}

/// A master and two replicas that know it by name; with `restart: always`, whoever is killed comes back to the others.
fn s3_2_compose_with_a_master_and_two_replicas_by_name(m: Kind, r: Kind) {
    let (master_image, replica_image) = (Image::of(m), Image::of(r));
    let mut master = master_image.run(m).name("master").set("appendonly yes").start();
    let follow = format!("appendonly yes\nreplicaof localhost {}", master.port());
    let replica = |name| replica_image.run(r).name(name).set(&follow).start();
    let mut replicas = [replica("replica 1"), replica("replica 2")];
    replicas.iter().for_each(Server::wait_link_up);
    assert_eq!(replicas[0].info("replication").text("master_host"), "localhost");
    master.wait_online_replicas(2);
    assert_eq!(master.good("SET before yes").text(), "OK");
    replicas.iter().for_each(|replica| wait_equal(&master, replica));

    replicas[0].kill();
    replicas[0].start_again();
    replicas[0].wait_link_up();
    master.kill();
    master.start_again();
    replicas.iter().for_each(Server::wait_link_up);
    master.good("SET after yes");
    for replica in &replicas {
        wait_equal(&master, replica);
        assert_eq!(replica.good("MGET before after").texts(), ["yes", "yes"]);
    }
}

/// `docker restart` is SIGTERM, and a start: the replica asks for what it has missed, and gets no more than that.
fn s3_3_a_restarted_replica_goes_on_from_where_it_was(m: Kind, r: Kind) {
    let (master_image, replica_image) = (Image::of(m), Image::of(r));
    let master = master_image.run(m).name("master").start();
    // With it there is a snapshot at the end, in which the replica's place in the stream stands.
    let saved = replica_image.run(r).name("replica").set("save 3600 1").replica_of(&master);
    let mut replica = saved.start();
    replica.wait_link_up();
    master.good("SET before yes");
    wait_equal(&master, &replica);
    replica.signal(Signal::SIGTERM);
    assert_eq!(replica.wait_exit().code(), Some(0));
    master.good("SET meanwhile yes");
    replica.start_again();
    replica.wait_link_up();
    wait_equal(&master, &replica);
    assert_eq!(replica.good("MGET before meanwhile").texts(), ["yes", "yes"]);
    let counts = master.sync_counts();
    assert_eq!((counts.full, counts.partial_ok), (1, 1), "{}", replica.log());
    assert!(replica.log().contains("Successful partial resynchronization with master."));
}

pairings! {
    s3_1_docker_run_of_a_master_and_a_replica,
    s3_2_compose_with_a_master_and_two_replicas_by_name,
    s3_3_a_restarted_replica_goes_on_from_where_it_was,
}
