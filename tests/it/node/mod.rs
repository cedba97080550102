//! The whole program on a real Kubernetes node: backup, disaster, restore, and what can go wrong on the way. Run inside a
//! testbed: `testbed/testbed exec --name NAME -- <this test binary> node_ --test-threads=1`. Each test brings the stack to
//! health first, so their order does not matter.

mod account;
mod alerts;
mod census;
mod closure;
mod cluster;
mod copy;
mod copy_elsewhere;
mod copy_evicted;
mod copy_placed;
mod cronjob;
mod damaged_snapshot;
mod disaster;
mod doctor;
mod image;
mod interrupted_backup;
mod killed_restore;
mod login;
mod program;
mod run_lock;
mod snapshot_faults;
mod stack;
mod stalling_proxy;
mod witness;
