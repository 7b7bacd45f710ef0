//! The pages of a parquet file, decompressed here: in Rust alone, and within bounds. The format's crate gets columns that
//! look uncompressed. It does not know rows.

use super::bound;
use super::delta;
use super::zstd::Zstd;
use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type as SchemaType;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Values of lists and nulls that any file may have; they take no bytes where they are equal.
const VALUES_ALWAYS: u64 = 1 << 22;

/// Values for each byte of a file.
const VALUES_PER_BYTE: u64 = 64;

/// Values that the format's crate decodes at once, each of which may repeat what stands before it.
const BATCH: u64 = 1024;

/// A file's pages, with what they have grown to.
pub(super) struct Pages {
    file: Arc<File>,
    metadata: ParquetMetaData,
    spent: Arc<Spent>,
}

/// What was decoded of a file so far.
struct Spent {
    size: u64,
    bytes: AtomicU64,
    values: AtomicU64,
    /// Bytes of lists, if all their values were the longest of their dictionary.
    listed: AtomicU64,
}

impl Pages {
    /// # Errors
    /// For a compression that is not read, and a footer that contradicts itself.
    pub(super) fn new(file: File, metadata: ParquetMetaData, size: u64) -> Result<Self> {
        for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
            if let compression @ (Compression::LZO | Compression::BROTLI(_) | Compression::LZ4) =
                column.compression()
            {
                return Err(ParquetError::NYI(format!(
                    "column `{}` is compressed by {compression}; write the file with snappy, gzip, zstd or LZ4_RAW",
                    column.column_path()
                )));
            }
        }
        let is_flat = |column: &&ColumnChunkMetaData| column.column_descr().max_rep_level() == 0;
        for group in metadata.row_groups() {
            if group.columns().iter().filter(is_flat).any(|column| column.num_values() != group.num_rows()) {
                return Err(ParquetError::General("its columns differ in their numbers of rows".to_owned()));
            }
        }
        let count = || AtomicU64::new(0);
        let spent = Spent { size, bytes: count(), values: count(), listed: count() };
        Ok(Self { file: Arc::new(file), metadata, spent: Arc::new(spent) })
    }
}

impl FileReader for Pages {
    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    fn num_row_groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    fn get_row_group(&self, at: usize) -> Result<Box<dyn RowGroupReader + '_>> {
        let metadata = self.metadata.row_group(at);
        Ok(Box::new(RowGroup { file: self.file.clone(), metadata, spent: self.spent.clone() }))
    }

    fn get_row_iter(&self, projection: Option<SchemaType>) -> Result<RowIter<'_>> {
        RowIter::from_file(projection, self)
    }
}

struct RowGroup<'a> {
    file: Arc<File>,
    metadata: &'a RowGroupMetaData,
    spent: Arc<Spent>,
}

impl RowGroupReader for RowGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.metadata
    }

    fn num_columns(&self) -> usize {
        self.metadata.num_columns()
    }

    fn get_column_page_reader(&self, at: usize) -> Result<Box<dyn PageReader>> {
        let column = self.metadata.column(at);
        let as_is = column.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let rows = usize::try_from(self.metadata.num_rows())?;
        let pages = SerializedPageReader::new(self.file.clone(), &as_is, rows, None)?;
        Ok(Box::new(Column { pages, column: column.clone(), longest: 0, spent: self.spent.clone() }))
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&parquet::bloom_filter::Sbbf> {
        None
    }

    fn get_row_iter(&self, projection: Option<SchemaType>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

/// A column's pages.
struct Column {
    pages: SerializedPageReader<File>,
    column: ColumnChunkMetaData,
    /// Bytes of the longest text of its dictionary.
    longest: u64,
    spent: Arc<Spent>,
}

impl Column {
    fn decompressed(&mut self, page: Page) -> Result<Page> {
        let spent = self.spent.clone();
        Ok(match page {
            Page::DictionaryPage { buf, num_values, encoding, is_sorted } => {
                let buf = self.bytes(&buf)?;
                if self.column.column_type() == Type::BYTE_ARRAY {
                    self.longest = longest(&buf);
                }
                Page::DictionaryPage { buf: buf.into(), num_values, encoding, is_sorted }
            }
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
            } => {
                let buf = self.bytes(&buf)?;
                spent.check(&self.column, buf.len(), num_values, encoding, self.longest)?;
                let kind = self.column.column_descr();
                let levels =
                    [(kind.max_rep_level(), rep_level_encoding), (kind.max_def_level(), def_level_encoding)];
                self.check_lengths(delta::behind_levels(&buf, num_values, levels), num_values, encoding)?;
                let buf = buf.into();
                Page::DataPage {
                    buf,
                    num_values,
                    encoding,
                    def_level_encoding,
                    rep_level_encoding,
                    statistics,
                }
            }
            Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                num_nulls,
                num_rows,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                statistics,
            } => {
                let levels = def_levels_byte_len as usize + rep_levels_byte_len as usize;
                let (Some(head), Some(rest)) = (buf.get(..levels), buf.get(levels..)) else {
                    return Err(ParquetError::General("a page is shorter than its levels".to_owned()));
                };
                let values =
                    if is_compressed && !rest.is_empty() { self.bytes(rest)? } else { rest.to_vec() };
                self.check_lengths(Some(&values), num_values, encoding)?;
                let buf = [head, &values].concat();
                spent.check(&self.column, buf.len(), num_values, encoding, self.longest)?;
                Page::DataPageV2 {
                    buf: buf.into(),
                    num_values,
                    encoding,
                    num_nulls,
                    num_rows,
                    def_levels_byte_len,
                    rep_levels_byte_len,
                    is_compressed: false,
                    statistics,
                }
            }
        })
    }

    /// Refuses a page that states more texts than it has values: room is made for so many.
    fn check_lengths(&self, texts: Option<&[u8]>, values: u32, encoding: Encoding) -> Result<()> {
        if texts.is_some_and(|texts| delta::lengths_fit(texts, values, encoding)) {
            return Ok(());
        }
        Err(ParquetError::General(format!(
            "a page of column `{}` is damaged: its lengths are not those of its {values} values",
            self.column.column_path()
        )))
    }

    /// A page's bytes, decompressed.
    fn bytes(&self, packed: &[u8]) -> Result<Vec<u8>> {
        let left = bound::limit(self.spent.size).saturating_sub(self.spent.bytes.load(Ordering::Relaxed));
        let at_most = usize::try_from(left)?;
        let damaged = |error: &dyn std::fmt::Display| {
            ParquetError::General(format!("a page of column `{}`: {error}", self.column.column_path()))
        };
        let stream = |input: &mut dyn Read| {
            let mut bytes = Vec::new();
            input.take(left + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
            Ok::<_, ParquetError>(bytes)
        };
        let bytes = match self.column.compression() {
            Compression::UNCOMPRESSED => packed.to_vec(),
            Compression::SNAPPY => {
                let length = snap::raw::decompress_len(packed).map_err(|error| damaged(&error))?;
                // Snappy writes at most 64 bytes for three.
                if length > at_most || length > packed.len().saturating_mul(32) + 64 {
                    return Err(self.too_large());
                }
                snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| damaged(&error))?
            }
            Compression::GZIP(_) => stream(&mut MultiGzDecoder::new(packed))?,
            Compression::ZSTD(_) => stream(&mut Zstd::new(packed))?,
            Compression::LZ4_RAW => {
                // A byte of a block is at most 255 bytes of the text.
                let room = packed.len().saturating_mul(255).saturating_add(64).min(at_most);
                lz4_flex::block::decompress(packed, room).map_err(|error| damaged(&error))?
            }
            other => return Err(damaged(&format!("{other} is not read"))),
        };
        if bytes.len() > at_most {
            return Err(self.too_large());
        }
        self.spent.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    fn too_large(&self) -> ParquetError {
        ParquetError::General(bound::too_large(self.spent.size).to_string())
    }
}

impl Spent {
    /// Refuses pages whose values are more than a file of this size can mean.
    fn check(
        &self,
        column: &ColumnChunkMetaData,
        bytes: usize,
        values: u32,
        encoding: Encoding,
        longest: u64,
    ) -> Result<()> {
        let values = u64::from(values);
        let all = self.values.fetch_add(values, Ordering::Relaxed) + values;
        let is_list = column.column_descr().max_rep_level() > 0;
        let texts = if is_list { values.saturating_mul(longest) } else { 0 };
        let listed = self.listed.fetch_add(texts, Ordering::Relaxed).saturating_add(texts);
        let repeated =
            if encoding == Encoding::DELTA_BYTE_ARRAY { bytes as u64 * values.min(BATCH) } else { 0 };
        let limit = bound::limit(self.size);
        if all > VALUES_ALWAYS.max(self.size.saturating_mul(VALUES_PER_BYTE))
            || listed > limit
            || repeated > limit.max(1 << 30)
        {
            return Err(ParquetError::General(format!(
                "column `{}` has {values} values in {bytes} bytes, which its {} bytes cannot mean",
                column.column_path(),
                self.size
            )));
        }
        Ok(())
    }
}

impl Iterator for Column {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Column {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.map(|page| self.decompressed(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

/// The longest text of a plain dictionary: each stands behind its length in four bytes.
fn longest(mut dictionary: &[u8]) -> u64 {
    let mut longest = 0;
    while let Some((length, rest)) = dictionary.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        longest = longest.max(u64::from(length));
        let Some(rest) = rest.get(length as usize..) else { break };
        dictionary = rest;
    }
    longest
}
