//! A copied volume is read where it lies: the same names and bytes as the directory it is a copy of.

use promsafe::stored::StoredDirectory;
use promsafe::tsdb::{Directory, EntryKind};

use super::backups::{id, put_backup, store_in};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_directory_reads_as_the_one_it_is_a_copy_of() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    let large: Vec<u8> = (0..20 * MIB).map(|n| u8::try_from((n / 3 + n % 7) % 251).unwrap()).collect();
    let files = [("01J/chunks", large.clone()), ("01J/index", b"index".to_vec()), ("empty", Vec::new())];
    let record = put_backup(&store, &id(1), &files).await;
    let directory = StoredDirectory::open(&store, &record.volumes[0].copy.as_ref().unwrap().tree).await.unwrap();
    tokio::task::block_in_place(|| {
        let names = |path: &str| {
            let entries = directory.list(path).unwrap();
            entries.into_iter().map(|entry| (entry.name, entry.kind, entry.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(names(""), [("01J".into(), EntryKind::Directory, 0), ("empty".into(), EntryKind::File, 0)]);
        assert_eq!(names("01J")[0], ("chunks".into(), EntryKind::File, 20 << 20));
        let kinds = ["nowhere", "01J/none"].map(|path| directory.open(path).err().unwrap().kind());
        assert_eq!(kinds, [std::io::ErrorKind::NotFound; 2]);
        assert_eq!(directory.list("empty").unwrap_err().kind(), std::io::ErrorKind::NotADirectory);

        let file = directory.open("01J/chunks").unwrap();
        assert_eq!(file.bytes(), 20 << 20);
        let mut read = Vec::new();
        let mut buffer = vec![0; 3 * MIB];
        loop {
            let count = file.read_at(read.len() as u64, &mut buffer).unwrap();
            if count == 0 {
                break;
            }
            read.extend_from_slice(&buffer[..count]);
        }
        assert!(read == large, "the bytes are not those of the file");
        for offset in [0, 8 * MIB - 1, 8 * MIB, 16 * MIB + 5, 20 * MIB - 1] {
            let mut one = [0];
            assert_eq!(file.read_at(offset as u64, &mut one).unwrap(), 1);
            assert_eq!(one[0], large[offset], "{offset}");
        }
        assert_eq!(file.read_at(20 << 20, &mut buffer).unwrap(), 0);
        assert_eq!(directory.open("empty").unwrap().read_at(0, &mut buffer).unwrap(), 0);
    });
}
