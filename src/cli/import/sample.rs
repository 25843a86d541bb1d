//! Member files with made-up people, for the demo, for measurements and for trying an import.

use std::fmt::Write as _;
use std::io::Write;

use crate::cli::Failure;

/// Eight digits number the cards.
const ROWS_MAX: u64 = 10_000_000;

/// Write a member file with made-up people to standard output.
///
/// Names are common family and given names drawn by chance; no row is a real person. The same seed gives the same file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many members.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=ROWS_MAX))]
    rows: u64,
    /// Cards are PREFIX and eight digits from 00000001; the PIN of each is its last four digits.
    #[arg(long, value_name = "PREFIX", default_value = "C")]
    prefix: String,
    /// Opening balances are given at this rate.
    #[arg(long, value_name = "RATE_ID", default_value_t = 1)]
    rate_id: i64,
    /// Another seed draws other people.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Header row in Japanese.
    #[arg(long)]
    japanese: bool,
}

/// Family name, kana. By number of bearers the most common ones in Japan.
#[rustfmt::skip]
const FAMILIES: [(&str, &str); 40] = [
    ("佐藤", "サトウ"), ("鈴木", "スズキ"), ("高橋", "タカハシ"), ("田中", "タナカ"), ("伊藤", "イトウ"), ("渡辺", "ワタナベ"),
    ("山本", "ヤマモト"), ("中村", "ナカムラ"), ("小林", "コバヤシ"), ("加藤", "カトウ"), ("吉田", "ヨシダ"), ("山田", "ヤマダ"),
    ("佐々木", "ササキ"), ("山口", "ヤマグチ"), ("松本", "マツモト"), ("井上", "イノウエ"), ("木村", "キムラ"), ("林", "ハヤシ"),
    ("斎藤", "サイトウ"), ("清水", "シミズ"), ("山崎", "ヤマザキ"), ("森", "モリ"), ("池田", "イケダ"), ("橋本", "ハシモト"),
    ("阿部", "アベ"), ("石川", "イシカワ"), ("山下", "ヤマシタ"), ("中島", "ナカジマ"), ("石井", "イシイ"), ("小川", "オガワ"),
    ("前田", "マエダ"), ("岡田", "オカダ"), ("長谷川", "ハセガワ"), ("藤田", "フジタ"), ("後藤", "ゴトウ"), ("近藤", "コンドウ"),
    ("村上", "ムラカミ"), ("遠藤", "エンドウ"), ("青木", "アオキ"), ("坂本", "サカモト"),
];
#[rustfmt::skip]
const GIVEN: [(&str, &str); 40] = [
    ("翔太", "ショウタ"), ("健一", "ケンイチ"), ("大輔", "ダイスケ"), ("誠", "マコト"), ("浩", "ヒロシ"), ("学", "マナブ"),
    ("直樹", "ナオキ"), ("哲也", "テツヤ"), ("和也", "カズヤ"), ("剛", "ツヨシ"), ("茂", "シゲル"), ("清", "キヨシ"),
    ("進", "ススム"), ("勝", "マサル"), ("実", "ミノル"), ("隆", "タカシ"), ("修", "オサム"), ("博", "ヒロシ"),
    ("明", "アキラ"), ("徹", "トオル"), ("陽子", "ヨウコ"), ("恵子", "ケイコ"), ("幸子", "サチコ"), ("和子", "カズコ"),
    ("洋子", "ヨウコ"), ("智子", "トモコ"), ("由美子", "ユミコ"), ("久美子", "クミコ"), ("裕子", "ユウコ"), ("真由美", "マユミ"),
    ("明美", "アケミ"), ("美咲", "ミサキ"), ("愛", "アイ"), ("彩", "アヤ"), ("舞", "マイ"), ("麻衣", "マイ"),
    ("優子", "ユウコ"), ("千尋", "チヒロ"), ("葵", "アオイ"), ("さくら", "サクラ"),
];
#[rustfmt::skip]
const PLACES: [(&str, &str); 12] = [
    ("060", "北海道札幌市中央区"), ("980", "宮城県仙台市青葉区"), ("330", "埼玉県さいたま市大宮区"), ("260", "千葉県千葉市中央区"),
    ("160", "東京都新宿区"), ("220", "神奈川県横浜市西区"), ("420", "静岡県静岡市葵区"), ("460", "愛知県名古屋市中区"),
    ("530", "大阪府大阪市北区"), ("650", "兵庫県神戸市中央区"), ("730", "広島県広島市中区"), ("810", "福岡県福岡市中央区"),
];

/// Writes the id of sample card `number` into `card` (cleared first).
pub fn write_card_id(card: &mut String, prefix: &str, number: u64) {
    card.clear();
    write!(card, "{prefix}{number:08}").expect("writing to memory cannot fail");
}

/// The PIN of sample card `number`: its last four digits.
pub fn pin_of(number: u64) -> String {
    format!("{:04}", number % 10_000)
}

/// Writes the file to standard output.
///
/// # Errors
/// A prefix that makes no card number; output that cannot be written.
pub fn run(args: &Args) -> Result<(), Failure> {
    if args.prefix.len() > 24 || !args.prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(Failure::usage("--prefix: at most 24 letters, digits and '-'"));
    }
    let out = std::io::BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    write(out, args).map_err(|e| match e.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::nobody_reads(),
        _ => Failure::failed(format!("cannot write to standard output: {e}")),
    })
}

/// Writes a sample of `rows` members with the default options.
///
/// # Errors
/// As the writer.
pub fn write_default(out: impl Write, rows: u64) -> std::io::Result<()> {
    write(out, &Args { rows, prefix: "C".into(), rate_id: 1, seed: 1, japanese: false })
}

fn write(mut out: impl Write, args: &Args) -> std::io::Result<()> {
    match args.japanese {
        true => writeln!(out, "カード番号,氏名,カナ,生年月日,郵便番号,住所,電話,暗証番号,残高:{}", args.rate_id)?,
        false => writeln!(out, "card_id,name,kana,birth_date,postal,address,phone,pin,balance:{}", args.rate_id)?,
    }
    let (mut dice, mut card) = (Dice(args.seed), String::new());
    for number in 1..=args.rows {
        write_card_id(&mut card, &args.prefix, number);
        let (family, family_kana) = dice.pick(&FAMILIES);
        let (given, given_kana) = dice.pick(&GIVEN);
        let (postal, place) = dice.pick(&PLACES);
        // Everybody is 20 to 80 in 2026 and older ever after; every month has 28 days.
        let (year, month, day) = (1946 + dice.below(60), 1 + dice.below(12), 1 + dice.below(28));
        let (block, house) = (1 + dice.below(9), 1 + dice.below(30));
        write!(out, "{card},{family} {given},{family_kana} {given_kana},{year}-{month:02}-{day:02},")?;
        write!(out, "{postal}-{:04},{place}{block}-{house},", dice.below(10_000))?;
        // 000 is no area code: nobody is called by mistake.
        writeln!(out, "000-{:04}-{:04},{},{}", dice.below(10_000), dice.below(10_000), pin_of(number), dice.below(20_000))?;
    }
    out.flush()
}

/// A small generator of our own, so that a seed gives the same file in every version of every library.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rules, Source, check};
    use super::*;

    #[test]
    fn every_row_of_a_sample_passes_the_checks_of_an_import() {
        for japanese in [false, true] {
            let mut file = Vec::new();
            write(&mut file, &Args { rows: 3_000, prefix: "A-".into(), rate_id: 2, seed: 7, japanese }).unwrap();
            let source = Source::from_bytes(file).unwrap();
            let checked = check(&source, &Rules::offline(jiff::civil::date(2026, 1, 1))).unwrap();
            assert_eq!((checked.rows, checked.shown), (3_000, vec![]));
        }
    }
}
