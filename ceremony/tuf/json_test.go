package tuf

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"pgregory.net/rapid"
)

func TestScanRefuses(t *testing.T) {
	for _, c := range []struct {
		in           string
		line, column int
		reason       string
	}{
		{``, 1, 1, "ends too early"},
		{" \n", 2, 1, "ends too early"},
		{"\ufeff{}", 1, 1, "byte order mark"},
		{`{} x`, 1, 4, "follows the end"},
		{"{}\n\n{}", 3, 1, "follows the end"},
		{`{"a":1,"a":2}`, 1, 8, `"a" stands twice`},
		{`{"b":1,"a":1,"b":2}`, 1, 14, `"b" stands twice`},
		{`{"a":1,"\u0061":2}`, 1, 8, `"a" stands twice`},
		{`{"a":1,"A":2}`, 1, 8, "differ in case only"},
		{`{"A":1,"a":2}`, 1, 8, "differ in case only"},
		{`{"k":1,"` + "\u212a" + `":2}`, 1, 8, "differ in case only"}, // Kelvin
		{`{"keys":1,"key` + "\u017f" + `":2}`, 1, 11, "differ in case only"},
		{`[` + strings.Repeat(`{"x":`, 31) + "1", 1, 158, "but the text ends"},
		{strings.Repeat("[", 33), 1, 33, "more than 32 deep"},
		{`1.0`, 1, 1, "integer"},
		{`1e3`, 1, 1, "integer"},
		{`-0`, 1, 1, "-0"},
		{`01`, 1, 1, "begin with 0"},
		{`-`, 1, 2, "digit"},
		{`+1`, 1, 1, "JSON value"},
		{`9007199254740992`, 1, 1, "2^53"},
		{`-9007199254740992`, 1, 1, "2^53"},
		{`99999999999999999999999999999999`, 1, 1, "2^53"},
		{`NaN`, 1, 1, "JSON value"},
		{`nul`, 1, 1, "JSON value"},
		{"\"\xff\"", 1, 2, "not UTF-8"},
		{"\"é\xc3\"", 1, 3, "not UTF-8"},
		{"\"\xed\xa0\x80\"", 1, 2, "not UTF-8"}, // a surrogate in UTF-8
		{"\"\xc0\x80\"", 1, 2, "not UTF-8"},     // overlong
		{"\xff", 1, 1, "not UTF-8"},
		{`"\ud800"`, 1, 2, "surrogate"},
		{`"\udc00"`, 1, 2, "surrogate"},
		{`"\udc00\udc00"`, 1, 2, "surrogate"},
		{`"\ud800\u0041"`, 1, 2, "surrogate"},
		{`"\ud800\ud800"`, 1, 2, "surrogate"},
		{`"\x"`, 1, 2, "no such escape"},
		{`"\u12g4"`, 1, 2, "hex digits"},
		{`"\u12`, 1, 2, "hex digits"},
		{`"\`, 1, 2, "cut off"},
		{"\"\n\"", 1, 2, "control character"},
		{`"abc`, 1, 1, "does not end"},
		{`{"a" 1}`, 1, 6, `":" belongs here`},
		{`{"a":1,}`, 1, 8, "name belongs here"},
		{`{a:1}`, 1, 2, "name belongs here"},
		{`{"a":1 "b":2}`, 1, 8, `"," or "}"`},
		{`[1,]`, 1, 4, "JSON value"},
		{`[1 2]`, 1, 4, `"," or "]"`},
		{`{"é":1,` + "\n  " + `"é":2}`, 2, 3, "stands twice"},
		{`["é", x]`, 1, 7, "JSON value"}, // columns count characters
		{`// c`, 1, 1, "JSON value"},
		{`'a'`, 1, 1, "JSON value"},
		{strings.Repeat(" ", MaxTargetsSize+1), 1, 1, "longer than 16777216 bytes"},
	} {
		t.Run(fmt.Sprintf("%.40q", c.in), func(t *testing.T) {
			d, err := scan(c.in)
			if err == nil {
				t.Errorf("%.40q was read as %v", c.in, d.nodes)
				return
			}
			if err.Line != c.line || err.Column != c.column || !strings.Contains(err.Reason, c.reason) {
				t.Errorf("%.40q: %v; want line %d, column %d, %q", c.in, err, c.line, c.column, c.reason)
			}
		})
	}
}

func TestScanReads(t *testing.T) {
	for in, want := range map[string]string{
		` { } `:                     `{}`,
		"[\t]\r\n":                  `[]`,
		`{"b":[1,-2,0],"a":{}}`:     `{"a":{},"b":[1,-2,0]}`,
		`9007199254740991`:          `9007199254740991`,
		`-9007199254740991`:         `-9007199254740991`,
		`[true,false,null]`:         `[true,false,null]`,
		`"a\/\b\f\n\r\t\"\\\u00e9"`: "\"a/\b\f\n\r\t\\\"\\\\é\"",
		`"\ud83d\ude00\u0000"`:      "\"\U0001f600\x00\"",
		`"\u005c\u0022"`:            `"\\\""`,
		`{"\u0062":1,"a":2}`:        `{"a":2,"b":1}`,
		`{"` + "\U0001f600" + `":1,"` + "\uffff" + `":2}`: "{\"\uffff\":2,\"\U0001f600\":1}", // by bytes, not by UTF-16
		strings.Repeat("[", 32) + strings.Repeat("]", 32): strings.Repeat("[", 32) + strings.Repeat("]", 32),
	} {
		t.Run(fmt.Sprintf("%.40q", in), func(t *testing.T) {
			d, err := scan(in)
			if err != nil {
				t.Error(err)
				return
			}
			if got := string(d.canonical(nil, 0)); got != want {
				t.Errorf("canonical %q, want %q", got, want)
			}
		})
	}
}

func TestManyNames(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"X":0`)
	for i := range 60_000 {
		b.WriteString(`,"` + strings.Repeat("a", i%7) + string(rune(0x4e00+i%20000)) + string(rune('a'+i/20000)) + `":1`)
	}
	if _, err := scan(b.String() + `}`); err != nil {
		t.Fatal(err)
	}
	_, err := scan(b.String() + `,"x":1}`)
	if err == nil || err.Offset != b.Len()+1 || !strings.Contains(err.Reason, "case only") {
		t.Fatal(err)
	}
}

// anyJSON draws values that canonical JSON knows.
func anyJSON(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.String().AsAny(),
		rapid.StringMatching(`["\\/\x00-\x20é😀a-c]*`).AsAny(),
		rapid.Int64Range(-maxInt, maxInt).AsAny(),
		rapid.Bool().AsAny(),
		rapid.Just[any](nil),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(depth - 1) })
	return rapid.OneOf(append(leaves,
		rapid.SliceOfN(inner, 0, 5).AsAny(),
		rapid.MapOfN(rapid.String(), inner, 0, 20).AsAny())...)
}

func TestCanonicalAgreesWithCJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := anyJSON(3).Draw(t, "value")
		data, err := json.MarshalIndent(value, "", rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "indent"))
		if err != nil {
			t.Skip(err)
		}
		d, perr := scan(string(data))
		if perr != nil {
			if strings.Contains(perr.Reason, "case only") {
				t.Skip("names that differ in case only")
			}
			t.Fatalf("%s: %v", data, perr)
		}
		want, err := cjson.EncodeCanonical(value)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.canonical(nil, 0); string(got) != string(want) {
			t.Fatalf("canonical %q, cjson %q", got, want)
		}
		// What is written for files reads as the same.
		again, perr := scan(string(d.indent(nil, 0, 0)))
		if perr != nil || string(again.canonical(nil, 0)) != string(want) {
			t.Fatalf("indented: %v", perr)
		}
	})
}

// What scan accepts, encoding/json accepts too.
func TestScanIsStricter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[\[\]{}",:\\u0-9a-f\-. tn]{0,12}`).Draw(t, "text")
		if _, err := scan(s); err == nil && !json.Valid([]byte(s)) {
			t.Fatalf("%q is no JSON", s)
		}
	})
}
