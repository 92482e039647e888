//! Counts of tokens by OpenAI's o200k. The ranks are the published file, read at the first count: a few megabytes of
//! memory instead of a binary that is twice as large.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hasher;
use std::io::Read;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use fnv::FnvHasher;
use regex_automata::meta::Regex;

/// `o200k_base.tiktoken` of OpenAI's tiktoken (MIT): a line for each token, in the order of the ranks.
const FILE: &[u8] = include_bytes!("o200k_base.tiktoken.gz");
/// The tokens of the file.
const TOKENS: usize = 199_998;
/// The slots of the table, a power of two.
const SLOTS: usize = 1 << 19;
const EMPTY: u32 = u32::MAX;
/// The bytes that are merged at once. A longer piece without a space is cut, which costs one token at most.
const LONGEST: usize = 64 * 1024;
/// The published expression, but for its last two alternatives: [`pieces`] does the work of the look-ahead.
const WORD: &[&str] = &[
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
];
const SPACES: &str = r"\s+";

static RANKS: LazyLock<Ranks> = LazyLock::new(Ranks::read);
static PIECES: LazyLock<Regex> = LazyLock::new(|| {
    let word = WORD.join("|");
    Regex::new_many(&[word.as_str(), SPACES]).expect("the expressions are valid")
});

/// Returns the tokens of a text.
pub(super) fn count(text: &str) -> u64 {
    let ranks = &*RANKS;
    pieces(text).map(|piece| ranks.count(piece.as_bytes())).sum()
}

/// Cuts a text into the pieces that no token crosses.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let found = PIECES.find(regex_automata::Input::new(text).range(at..))?;
        let mut piece = &text[found.range()];
        // spaces before a word leave the last one of them to the word
        if found.pattern().as_usize() == 1
            && found.end() < text.len()
            && let Some((last, _)) = piece.char_indices().next_back()
            && last > 0
        {
            piece = &piece[..last];
        }
        at = found.start() + piece.len();
        Some(piece)
    })
}

/// The tokens by their rank, and a table that finds the rank of a token.
struct Ranks {
    /// The bytes of all tokens.
    bytes: Vec<u8>,
    /// The start of each token in `bytes`, and the end of the last one.
    starts: Vec<u32>,
    /// Ranks in the slots of their hashes, or of the next free one.
    slots: Vec<u32>,
}

impl Ranks {
    fn read() -> Self {
        let mut text = Vec::new();
        GzDecoder::new(FILE).read_to_end(&mut text).expect("the bundled file is whole");
        let mut ranks = Self {
            bytes: Vec::with_capacity(text.len() / 2),
            starts: Vec::with_capacity(TOKENS + 1),
            slots: vec![EMPTY; SLOTS],
        };
        ranks.starts.push(0);
        for (rank, line) in text.split(|byte| *byte == b'\n').take(TOKENS).enumerate() {
            let token = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            STANDARD.decode_vec(token, &mut ranks.bytes).expect("a token is Base64");
            ranks.starts.push(ranks.bytes.len() as u32);
            let slot = ranks.slot(ranks.token(rank));
            ranks.slots[slot] = rank as u32;
        }
        ranks.bytes.shrink_to_fit();
        ranks
    }

    fn token(&self, rank: usize) -> &[u8] {
        &self.bytes[self.starts[rank] as usize..self.starts[rank + 1] as usize]
    }

    /// Returns the slot of a token, or the free one where it belongs.
    fn slot(&self, token: &[u8]) -> usize {
        let mut hasher = FnvHasher::default();
        hasher.write(token);
        let hash = hasher.finish();
        let mut slot = (hash ^ (hash >> 32)) as usize % SLOTS;
        while self.slots[slot] != EMPTY && self.token(self.slots[slot] as usize) != token {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }

    fn rank(&self, token: &[u8]) -> Option<u32> {
        Some(self.slots[self.slot(token)]).filter(|rank| *rank != EMPTY)
    }

    fn count(&self, piece: &[u8]) -> u64 {
        if self.rank(piece).is_some() {
            return 1;
        }
        piece.chunks(LONGEST).map(|part| Merge::new(self, part).run()).sum()
    }
}

/// A piece on its way to tokens: its parts, and the pairs of neighbours that are a token, the lowest rank first.
struct Merge<'a> {
    ranks: &'a Ranks,
    piece: &'a [u8],
    /// The start of the part before the one that starts here.
    before: Vec<u32>,
    /// The end of the part that starts here; 0 where none starts.
    end: Vec<u32>,
    /// Ranks of pairs, with the start and the end of the pair.
    pairs: BinaryHeap<Reverse<(u32, u32, u32)>>,
}

impl<'a> Merge<'a> {
    fn new(ranks: &'a Ranks, piece: &'a [u8]) -> Self {
        let length = piece.len() as u32;
        let mut merge = Self {
            ranks,
            piece,
            before: (0..length).map(|at| at.saturating_sub(1)).collect(),
            end: (1..=length).collect(),
            pairs: BinaryHeap::with_capacity(piece.len()),
        };
        (0..length).for_each(|start| merge.pair(start));
        merge
    }

    /// Notes the pair of the part that starts here and the next one, if it is a token.
    fn pair(&mut self, start: u32) {
        let Some(&end) = self.end.get(self.end[start as usize] as usize) else { return };
        if let Some(rank) = self.ranks.rank(&self.piece[start as usize..end as usize]) {
            self.pairs.push(Reverse((rank, start, end)));
        }
    }

    fn run(mut self) -> u64 {
        let mut parts = self.piece.len() as u64;
        while let Some(Reverse((_, start, end))) = self.pairs.pop() {
            let middle = self.end[start as usize];
            // a part of an older pair has grown meanwhile, or belongs to another part
            if middle == 0 || self.end.get(middle as usize) != Some(&end) {
                continue;
            }
            self.end[start as usize] = end;
            self.end[middle as usize] = 0;
            if let Some(before) = self.before.get_mut(end as usize) {
                *before = start;
            }
            parts -= 1;
            self.pair(start);
            if start > 0 {
                self.pair(self.before[start as usize]);
            }
        }
        parts
    }
}
