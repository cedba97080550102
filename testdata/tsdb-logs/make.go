// Makes data directories with Prometheus' own tsdb package, and says what that package reads in logs and head chunks and
// how it opens a directory. README.md says how it is run.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func options(comp string, st bool) *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.WALSegmentSize = 4 * 32 * 1024
	o.WALCompression = compression.Type(comp)
	o.RetentionDuration = 0
	o.StripeSize = 64
	o.EnableExemplarStorage = true
	o.MaxExemplars = 1000
	o.OutOfOrderTimeWindow = 4 * 3600 * 1000
	o.OutOfOrderCapMax = 8
	o.EnableMetadataWALRecords = true
	o.EnableSTStorage = st
	if st {
		o.FloatChunkEncoding = chunkenc.EncXOR2
	}
	return o
}

const base = int64(1790000000000) / 7200000 * 7200000

func mk(out, comp string, st bool, hours int, series int) {
	must(os.RemoveAll(out))
	must(os.RemoveAll(out + ".live"))
	reg := prometheus.NewRegistry()
	db, err := tsdb.Open(out+".live", slog.New(slog.DiscardHandler), reg, options(comp, st), nil)
	must(err)
	db.DisableCompactions()
	reopen := func() {
		must(db.Close())
		db, err = tsdb.Open(out+".live", slog.New(slog.DiscardHandler), prometheus.NewRegistry(), options(comp, st), nil)
		must(err)
		db.DisableCompactions()
	}
	for i := int64(0); i < int64(hours)*60; i++ {
		if i > 0 && i%60 == 0 {
			reopen()
		}
		t := base + i*60000
		app := db.AppenderV2(context.Background())
		for s := 0; s < series; s++ {
			ls := labels.FromStrings("__name__", "counter_total", "instance", fmt.Sprintf("host-%03d", s), "job", "test")
			opts := storage.AOptions{}
			opts.Metadata = metadata.Metadata{Type: "counter", Help: "A counter.", Unit: "bytes"}
			opts.MetricFamilyName = "counter_total"
			if i%30 == 0 && s == 0 {
				opts.Exemplars = []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", fmt.Sprint(i)), Value: 1, Ts: t}}
			}
			_, err := app.Append(0, ls, t-30000, t+int64(s), float64(i*int64(s)*7919%100003), nil, nil, opts)
			must(err)
		}
		for n, gen := range []func() (storage.SeriesRef, error){
			func() (storage.SeriesRef, error) {
				return app.Append(0, labels.FromStrings("__name__", "native"), t-30000, t, 0, tsdbutil.GenerateTestHistogram(i), nil, storage.AOptions{})
			},
			func() (storage.SeriesRef, error) {
				return app.Append(0, labels.FromStrings("__name__", "native_float"), t-30000, t, 0, nil, tsdbutil.GenerateTestFloatHistogram(i), storage.AOptions{})
			},
			func() (storage.SeriesRef, error) {
				return app.Append(0, labels.FromStrings("__name__", "custom"), t-30000, t, 0, tsdbutil.GenerateTestCustomBucketsHistogram(i), nil, storage.AOptions{})
			},
			func() (storage.SeriesRef, error) {
				return app.Append(0, labels.FromStrings("__name__", "custom_float"), t-30000, t, 0, nil, tsdbutil.GenerateTestCustomBucketsFloatHistogram(i), storage.AOptions{})
			},
		} {
			if i%5 != int64(n) {
				continue
			}
			_, err := gen()
			must(err)
		}
		must(app.Commit())
		if i > 120 && i%3 == 0 {
			app = db.AppenderV2(context.Background())
			_, err := app.Append(0, labels.FromStrings("__name__", "counter_total", "instance", "host-001", "job", "test"), 0, t-3600000+1, 1, nil, nil, storage.AOptions{})
			must(err)
			must(app.Commit())
		}
	}
	if hours >= 4 {
		must(db.Compact(context.Background()))
	}
	reopen()
	must(db.Delete(context.Background(), base+int64(hours-1)*3600000, base+int64(hours-1)*3600000+600000, labels.MustNewMatcher(labels.MatchEqual, "__name__", "native")))
	for i := int64(hours) * 60; i < int64(hours)*60+40; i++ {
		t := base + i*60000
		app := db.AppenderV2(context.Background())
		for s := 0; s < series; s++ {
			ls := labels.FromStrings("__name__", "counter_total", "instance", fmt.Sprintf("host-%03d", s), "job", "test")
			_, err := app.Append(0, ls, t-30000, t+int64(s), float64(i), nil, nil, storage.AOptions{})
			must(err)
		}
		must(app.Commit())
		app = db.AppenderV2(context.Background())
		_, err := app.Append(0, labels.FromStrings("__name__", "counter_total", "instance", "host-002", "job", "test"), 0, t-3600000+1, 1, nil, nil, storage.AOptions{})
		must(err)
		must(app.Commit())
	}
	db.ForceHeadMMap()
	must(exec.Command("cp", "-a", out+".live", out).Run())
	must(db.Close())
	must(os.RemoveAll(out + ".live"))
}

type counts struct {
	Name               string
	Records            int
	Series             int
	Samples            int
	Min, Max           int64
	ByType             map[string]int
	Exemplars, Markers int
	Err                string `json:",omitempty"`
}

func dump(dir string) {
	sr, err := wlog.NewSegmentsReader(dir)
	must(err)
	c := counts{Name: dir, Min: math.MaxInt64, Max: math.MinInt64, ByType: map[string]int{}}
	r := wlog.NewReader(sr)
	dec := record.NewDecoder(nil, slog.New(slog.DiscardHandler))
	see := func(t int64) { c.Samples++; c.Min = min(c.Min, t); c.Max = max(c.Max, t) }
	for r.Next() {
		rec := r.Record()
		c.Records++
		t := dec.Type(rec)
		c.ByType[t.String()]++
		switch t {
		case record.Series:
			s, err := dec.Series(rec, nil)
			must(err)
			c.Series += len(s)
		case record.Samples, record.SamplesV2:
			s, err := dec.Samples(rec, nil)
			must(err)
			for _, x := range s {
				see(x.T)
			}
		case record.HistogramSamples, record.CustomBucketsHistogramSamples, record.HistogramSamplesV2:
			s, err := dec.HistogramSamples(rec, nil)
			must(err)
			for _, x := range s {
				see(x.T)
			}
		case record.FloatHistogramSamples, record.CustomBucketsFloatHistogramSamples, record.FloatHistogramSamplesV2:
			s, err := dec.FloatHistogramSamples(rec, nil)
			must(err)
			for _, x := range s {
				see(x.T)
			}
		case record.Exemplars:
			s, err := dec.Exemplars(rec, nil)
			must(err)
			c.Exemplars += len(s)
		case record.MmapMarkers:
			s, err := dec.MmapMarkers(rec, nil)
			must(err)
			c.Markers += len(s)
		}
	}
	if r.Err() != nil {
		c.Err = r.Err().Error()
	}
	b, _ := json.Marshal(c)
	fmt.Println(string(b))
}

func heads(dir string) {
	m, err := chunks.NewChunkDiskMapper(nil, dir, chunkenc.NewPool(), chunks.DefaultWriteBufferSize, 0)
	must(err)
	n, samples, mn, mx, ooo := 0, 0, int64(math.MaxInt64), int64(math.MinInt64), 0
	refs := map[chunks.HeadSeriesRef]bool{}
	err = m.IterateAllChunks(func(ref chunks.HeadSeriesRef, _ chunks.ChunkDiskMapperRef, a, b int64, k uint16, _ chunkenc.Encoding, o bool) error {
		n++
		samples += int(k)
		mn, mx = min(mn, a), max(mx, b)
		refs[ref] = true
		if o {
			ooo++
		}
		return nil
	})
	fmt.Println(dir, "chunks", n, "series", len(refs), "samples", samples, "ooo", ooo, mn, mx, err)
	m.Close()
}

func open(dir string) {
	reg := prometheus.NewRegistry()
	o := options("snappy", false)
	if os.Getenv("ST") != "" {
		o.EnableSTStorage = true
		o.FloatChunkEncoding = chunkenc.EncXOR2
	}
	db, err := tsdb.Open(dir, slog.New(slog.DiscardHandler), reg, o, nil)
	if err != nil {
		fmt.Println("FATAL", err)
		return
	}
	db.DisableCompactions()
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	must(err)
	ss := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	n, series, mn, mx := 0, 0, int64(math.MaxInt64), int64(math.MinInt64)
	var it chunkenc.Iterator
	for ss.Next() {
		series++
		it = ss.At().Iterator(it)
		for vt := it.Next(); vt != chunkenc.ValNone; vt = it.Next() {
			n++
			t := it.AtT()
			mn, mx = min(mn, t), max(mx, t)
		}
		if it.Err() != nil {
			fmt.Println("ITER", it.Err())
		}
	}
	if ss.Err() != nil {
		fmt.Println("SELECT", ss.Err())
	}
	fmt.Printf("OPEN series=%d samples=%d min=%d max=%d", series, n, mn, mx)
	ms, _ := reg.Gather()
	for _, m := range ms {
		switch m.GetName() {
		case "prometheus_tsdb_wal_corruptions_total", "prometheus_tsdb_mmap_chunk_corruptions_total":
			fmt.Printf(" %s=%v", m.GetName()[16:], m.Metric[0].GetCounter().GetValue())
		case "prometheus_tsdb_wal_replay_unknown_refs_total", "prometheus_tsdb_wbl_replay_unknown_refs_total":
			for _, x := range m.Metric {
				fmt.Printf(" %s{%s}=%v", m.GetName()[16:], x.Label[0].GetValue(), x.GetCounter().GetValue())
			}
		}
	}
	fmt.Println()
	for _, b := range db.Blocks() {
		fmt.Println("  block", b.Meta().MinTime, b.Meta().MaxTime, b.Meta().Stats.NumSamples, b.Meta().Compaction.Hints)
	}
	q.Close()
	db.Close()
}

func main() {
	switch os.Args[1] {
	case "make":
		hours, err := strconv.Atoi(os.Args[5])
		must(err)
		series, err := strconv.Atoi(os.Args[6])
		must(err)
		mk(os.Args[2], os.Args[3], os.Args[4] == "st", hours, series)
	case "dump":
		for _, d := range os.Args[2:] {
			dump(d)
		}
	case "heads":
		for _, d := range os.Args[2:] {
			tmp := d + ".heads"
			must(exec.Command("cp", "-a", d, tmp).Run())
			heads(tmp)
			os.RemoveAll(tmp)
		}
	case "open":
		for _, d := range os.Args[2:] {
			tmp := d + ".open"
			must(os.RemoveAll(tmp))
			must(exec.Command("cp", "-a", d, tmp).Run())
			open(tmp)
			os.RemoveAll(tmp)
		}
	}
}
