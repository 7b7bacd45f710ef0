//! Latin-script languages by their most frequent words. The lists are ours, short, and free of words that say nothing
//! about the language (names, numbers, terms of mathematics).

use std::collections::HashMap;
use std::sync::LazyLock;

/// A language that is written in Latin letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Latin {
    English,
    German,
    French,
    Spanish,
    Italian,
    Portuguese,
    Dutch,
    Swedish,
    Polish,
    Turkish,
    Indonesian,
    Vietnamese,
}

/// Language, ISO 639-1 code, words in lower case.
const LISTS: [(Latin, &str, &str); 12] = [
    (
        Latin::English,
        "en",
        "the of and to in is that it for was on are as with his they at be this have from or had by but what some we \
         can out were all there when up use your how said an each she which do their if will way about many then them \
         would like so these her him has look more could go come did no most my over know than who may been now any \
         where after back only our because also very just first wait let's need check should gives i'm don't it's \
         that's here since both between get does not you he into must one two other its us me too",
    ),
    (
        Latin::German,
        "de",
        "der die und in den von zu das mit sich des auf f\u{fc}r ist im dem nicht ein eine als auch es an werden aus er \
         hat dass sie nach wird bei einer um am sind noch wie einem \u{fc}ber einen so zum war haben nur oder aber vor \
         zur bis mehr durch man kann dann wir ich also wenn jetzt hier alle beiden zuerst m\u{fc}ssen was wo weil denn \
         mein sein ihr unser doch schon sehr daher damit ergibt",
    ),
    (
        Latin::French,
        "fr",
        "de la le et les des en un une du que est pour qui dans par plus pas au sur ne se ce il sont avec ou mais comme \
         on nous elle aux cette ces son sa ses leur tout fait \u{ea}tre deux aussi bien si donc alors cela c'est d'abord \
         d'un d'une qu'il n'est l'on je vous ils elles m\u{ea}me peut o\u{f9} car puis ici \u{e0} \u{e9}t\u{e9} tr\u{e8}s \
         ensuite ainsi faut avons",
    ),
    (
        Latin::Spanish,
        "es",
        "de la que el en y a los del se las por un para con no una su al lo como m\u{e1}s pero sus le ya o este s\u{ed} \
         porque esta entre cuando muy sin sobre tambi\u{e9}n me hasta hay donde quien desde todo nos durante todos uno \
         les ni contra otros ese eso ante ellos es son est\u{e1} as\u{ed} entonces ahora aqu\u{ed} primero tenemos da \
         dos cada luego debe ser puede hemos",
    ),
    (
        Latin::Italian,
        "it",
        "di che \u{e8} e la il un a per in una mi sono non ho si lo ma con ti se da come ci no questo qui hai sei del \
         bene tu s\u{ec} me pi\u{f9} al mio c'\u{e8} perch\u{e9} le della gli dei delle nel alla anche quando dove chi \
         cosa allora quindi poi ora ancora tutto tutti due essere era dal dalla sul abbiamo dobbiamo prima ogni cos\u{ec} \
         l'altro nella",
    ),
    (
        Latin::Portuguese,
        "pt",
        "de a o que e do da em um para \u{e9} com n\u{e3}o uma os no se na por mais as dos como mas foi ao ele das tem \
         \u{e0} seu sua ou ser quando muito h\u{e1} nos j\u{e1} est\u{e1} eu tamb\u{e9}m s\u{f3} pelo pela at\u{e9} isso \
         ela entre era depois sem mesmo aos ter seus quem nas me esse eles voc\u{ea} ent\u{e3}o agora aqui primeiro \
         temos dois s\u{e3}o cada logo assim porque vamos d\u{e1}",
    ),
    (
        Latin::Dutch,
        "nl",
        "de en van ik te dat die in een hij het niet zijn is was op aan met als voor had er maar om hem dan zou of wat \
         mijn men dit zo door over ze zich bij ook tot je mij uit der daar haar naar heb hoe heeft hebben deze want nog \
         zal me zij nu ge geen omdat iets worden toch al waren veel meer doen toen moet ben zonder kan hun dus alles \
         onder ja eens hier wie werd altijd wordt wezen kunnen ons zelf eerst we beide",
    ),
    (
        Latin::Swedish,
        "sv",
        "och det att i en jag hon som han p\u{e5} den med var sig f\u{f6}r s\u{e5} till \u{e4}r men ett om hade de av icke \
         mig du henne d\u{e5} sin nu har inte hans honom skulle hennes d\u{e4}r min man ej vid kunde n\u{e5}got fr\u{e5}n \
         ut n\u{e4}r efter upp vi dem vara vad \u{f6}ver \u{e4}n dig kan sina h\u{e4}r ha mot alla under n\u{e5}gon eller \
         allt mycket sedan ju denna b\u{e5}da f\u{f6}rst m\u{e5}ste blir",
    ),
    (
        Latin::Polish,
        "pl",
        "i w na z do nie \u{17c}e si\u{119} to jest o jak po co tak za ale od tym jego ju\u{17c} jej przez czy tylko dla \
         by\u{142} by\u{142}a by\u{107} kt\u{f3}ry kt\u{f3}re kt\u{f3}ra ten ta te tego s\u{105} ma mam mnie mi ich go ze \
         tu teraz bardzo gdzie kiedy kiedy\u{15b} wi\u{119}c lub oraz bo je\u{15b}li mo\u{17c}e mo\u{17c}na mamy przy \
         jeszcze nas nam najpierw dwie",
    ),
    (
        Latin::Turkish,
        "tr",
        "ve bir bu da de i\u{e7}in ile ne gibi daha \u{e7}ok en olarak ama olan var o kadar sonra ben her mi ki ya yok \
         \u{15f}ey biz onun bunu \u{f6}nce iki ise de\u{11f}il oldu olur olduğunu olduğu veya hem nas\u{131}l \u{15f}imdi \
         b\u{f6}yle \u{e7}\u{fc}nk\u{fc} e\u{11f}er buna bunun burada yani zaman ilk",
    ),
    (
        Latin::Indonesian,
        "id",
        "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena tersebut bisa ada mereka lebih \
         kata tahun sudah atau saat oleh menjadi orang ia telah adalah seperti sebagai bahwa dapat para harus namun \
         kita dua satu masih hari hanya mengatakan kepada kami setelah melakukan lalu belum lain dia kalau maka jadi \
         pertama sekarang kedua jika",
    ),
    (
        Latin::Vietnamese,
        "vi",
        "v\u{e0} c\u{1ee7}a l\u{e0} c\u{f3} cho kh\u{f4}ng v\u{1edb}i c\u{e1}c \u{111}\u{1b0}\u{1ee3}c trong m\u{1ed9}t \
         nh\u{1eef}ng \u{111}\u{1ec3} \u{111}\u{e3} n\u{e0}y ng\u{1b0}\u{1edd}i khi \u{111}\u{1ebf}n v\u{1ec1} nh\u{1b0} \
         ra t\u{1eeb} c\u{169}ng n\u{f3} s\u{1ebd} ph\u{1ea3}i v\u{ec} n\u{1ebf}u th\u{ec} ta hai ch\u{fa}ng t\u{f4}i \
         \u{111}\u{f3} n\u{ea}n b\u{1eb1}ng hay ho\u{1eb7}c s\u{1ed1} ti\u{1ebf}p",
    ),
];

/// Each word with the languages that have it.
static WORDS: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let mut words: HashMap<&str, Vec<usize>> = HashMap::new();
    for (language, (_, _, list)) in LISTS.iter().enumerate() {
        for word in list.split_whitespace() {
            let languages = words.entry(word).or_default();
            if languages.last() != Some(&language) {
                languages.push(language);
            }
        }
    }
    words
});

impl Latin {
    pub(crate) fn by_code(code: &str) -> Option<Self> {
        LISTS.iter().find(|(_, known, _)| *known == code).map(|(language, _, _)| *language)
    }

    pub(crate) fn codes() -> impl Iterator<Item = &'static str> {
        LISTS.iter().map(|(_, code, _)| *code)
    }
}

/// The language that most of the words' stop words belong to; `favourite`, where it is among equals. None where
/// there is no stop word.
pub(crate) fn language(words: &[&str], favourite: Option<Latin>) -> Option<Latin> {
    let mut hits = [0_usize; LISTS.len()];
    for word in words {
        let word = word.to_lowercase().replace('\u{2019}', "'");
        WORDS.get(word.as_str()).into_iter().flatten().for_each(|&language| hits[language] += 1);
    }
    let most = hits.iter().copied().max().filter(|&most| most > 0)?;
    let mut equals =
        LISTS.iter().zip(hits).filter(|(_, count)| *count == most).map(|((latin, _, _), _)| *latin);
    let first = equals.next();
    if first == favourite || equals.any(|latin| Some(latin) == favourite) { favourite } else { first }
}
