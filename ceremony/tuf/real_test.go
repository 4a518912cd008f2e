package tuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// roots is where root chains of real projects lie, if they are at hand.
const roots = "../../../shared/roots"

func realFiles(t testing.TB, folder, pattern string) [][]byte {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(roots, folder, pattern))
	if len(names) == 0 {
		t.Skipf("no real chains at %s", roots)
	}
	var files [][]byte
	for i := range names {
		name := names[i]
		if pattern == "*.root.json" {
			name = filepath.Join(roots, folder, fmt.Sprintf("%d.root.json", i+1))
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	return files
}

func TestRealChains(t *testing.T) {
	for folder, c := range map[string]struct {
		length  int
		at      time.Time
		expired bool
	}{
		"sigstore":       {15, time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC), false},
		"joomla-updates": {16, time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC), false},
		"datadog-config": {1, time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC), true},
		"thomsonreuters": {1, time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC), false},
		"pqc-test":       {1, time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC), false},
		"multi-key-test": {1, time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC), true},
	} {
		t.Run(folder, func(t *testing.T) {
			files := realFiles(t, folder, "*.root.json")
			if len(files) != c.length {
				t.Fatalf("%d files", len(files))
			}
			var chain Chain
			for i, data := range files {
				step, err := chain.Add(data)
				if err != nil {
					t.Fatalf("file %d: %v\n%+v", i, err, step)
				}
				checkReal(t, data, chain.Last())
			}
			if err := chain.End(c.at); errors.Is(err, ErrExpired) != c.expired || (err != nil) != c.expired {
				t.Error(err)
			}
			if folder == "sigstore" && !errors.Is(chain.End(c.at.Add(time.Hour)), ErrExpired) {
				t.Error("not expired an hour later")
			}
			damaged := bytes.Replace(files[0], []byte(`"sig": "30`), []byte(`"sig": "31`), -1)
			if _, err := new(Chain).Add(damaged); err == nil && !bytes.Equal(damaged, files[0]) {
				t.Error("damaged signatures pass")
			}
		})
	}
}

// checkReal compares canonical bytes with cjson, and with what our own writer
// makes of the same root.
func checkReal(t *testing.T, data []byte, f *File) {
	t.Helper()
	var whole struct{ Signed json.RawMessage }
	if err := json.Unmarshal(data, &whole); err != nil {
		t.Fatal(err)
	}
	if want := must(cjson.EncodeCanonical(whole.Signed)); !bytes.Equal(f.Signed, want) {
		t.Errorf("version %d: cjson has other canonical bytes", f.Root.Version)
	}
	if !bytes.Equal(f.Root.Canonical(), f.Signed) {
		t.Errorf("version %d: written again it differs:\n%s\n%s", f.Root.Version, f.Root.Canonical(), f.Signed)
	}
	if len(f.Findings) == 0 {
		t.Errorf("version %d: no findings in a real root", f.Root.Version)
	}
	// A root that follows it can be written, but for what we write nowhere.
	next := f.Root.Next()
	next.Expires = expiry
	if err := next.Check(f.Root); err != nil {
		t.Errorf("version %d: its successor: %v", f.Root.Version, err)
	}
	// Nor does it matter that its white space is ours then.
	text, err := Assemble(next, nil, f.Root)
	if err != nil {
		t.Fatal(err)
	}
	if err := must(Parse(text)).Root.Check(f.Root); err != nil {
		t.Errorf("version %d: its successor, read again: %v", f.Root.Version, err)
	}
}

func TestRealDrafts(t *testing.T) {
	files := realFiles(t, "sigstore-drafts-v13-v15", "*.json")
	for i, data := range files {
		f, err := Parse(data)
		if err != nil {
			t.Errorf("draft %d: %v", i, err)
			continue
		}
		checkReal(t, data, f)
		if lines := Show(f, expiry, nil); len(lines) < 10 {
			t.Errorf("draft %d: %v", i, lines)
		}
	}
}

// Drafts that fill up with signatures: at each state, who is missing for the
// version before and for the draft itself. Compared once with what tuf-js counts.
func TestRealDraftsCount(t *testing.T) {
	drafts, released := realFiles(t, "sigstore-drafts-v13-v15", "*.json"), realFiles(t, "sigstore", "*.root.json")
	want := []struct {
		version  int64
		old, new string
	}{
		{13, "0 of 3: missing 6f260089, e71a54d5, 22f4caec, 61643838 or a687e5bf", "0 of 3: missing 6f260089, e71a54d5, 22f4caec, 61643838 or a687e5bf"},
		{13, "0 of 3: missing 6f260089, e71a54d5, 22f4caec, 61643838 or a687e5bf", "0 of 3: missing e71a54d5, 22f4caec, 61643838 or a687e5bf"},
		{13, "0 of 3: missing 6f260089, e71a54d5, 22f4caec, 61643838 or a687e5bf", "0 of 3: missing e71a54d5, 22f4caec, 61643838 or a687e5bf"},
		{13, "0 of 3: missing 6f260089, e71a54d5, 22f4caec, 61643838 or a687e5bf", "1 of 3: missing e71a54d5, 22f4caec, 61643838 or a687e5bf"},
		{13, "1 of 3: missing 6f260089, e71a54d5, 22f4caec or a687e5bf", "2 of 3: missing e71a54d5, 22f4caec or a687e5bf"},
		{13, "1 of 3: missing 6f260089, e71a54d5, 22f4caec or 61643838", "2 of 3: missing e71a54d5, 22f4caec or 61643838"},
		{13, "2 of 3: missing 6f260089, e71a54d5 or 22f4caec", "3 of 3"},
		{13, "3 of 3", "4 (3 needed)"},
		{13, "4 (3 needed)", "5 (3 needed)"},
		{14, "0 of 3: missing e71a54d5, 22f4caec, 61643838, a687e5bf or 183e64f3", "0 of 3: missing e71a54d5, 22f4caec, 61643838, a687e5bf or 183e64f3"},
		{14, "1 of 3: missing e71a54d5, 22f4caec, 61643838 or 183e64f3", "1 of 3: missing e71a54d5, 22f4caec, 61643838 or 183e64f3"},
		{14, "1 of 3: missing e71a54d5, 22f4caec, a687e5bf or 183e64f3", "1 of 3: missing e71a54d5, 22f4caec, a687e5bf or 183e64f3"},
		{14, "2 of 3: missing e71a54d5, 22f4caec or 183e64f3", "2 of 3: missing e71a54d5, 22f4caec or 183e64f3"},
		{14, "1 of 3: missing 22f4caec, 61643838, a687e5bf or 183e64f3", "1 of 3: missing 22f4caec, 61643838, a687e5bf or 183e64f3"},
		{14, "3 of 3", "3 of 3"},
		{14, "4 (3 needed)", "4 (3 needed)"},
		{15, "0 of 3: missing e71a54d5, 22f4caec, 61643838, a687e5bf or 183e64f3", "0 of 3: missing e71a54d5, 22f4caec, 61643838, a687e5bf or 183e64f3"},
		{15, "1 of 3: missing 22f4caec, 61643838, a687e5bf or 183e64f3", "1 of 3: missing 22f4caec, 61643838, a687e5bf or 183e64f3"},
		{15, "2 of 3: missing 22f4caec, 61643838 or 183e64f3", "2 of 3: missing 22f4caec, 61643838 or 183e64f3"},
		{15, "3 of 3", "3 of 3"},
		{15, "4 (3 needed)", "4 (3 needed)"},
		{15, "4 (3 needed)", "4 (3 needed)"},
		{15, "5 (3 needed)", "5 (3 needed)"},
	}
	if len(drafts) != len(want) {
		t.Fatalf("%d drafts", len(drafts))
	}
	for i, data := range drafts {
		f := must(Parse(data))
		before := must(Parse(released[f.Root.Version-2]))
		old, new := f.Report(before.Root).Text(nil), f.Report(f.Root).Text(nil)
		if f.Root.Version != want[i].version || old != want[i].old || new != want[i].new {
			t.Errorf("draft %d, version %d: %q and %q", i, f.Root.Version, old, new)
		}
		var c Chain
		if _, err := c.Add(released[f.Root.Version-2]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Add(data); (err == nil) != (f.Report(before.Root).Good() && f.Report(f.Root).Good()) {
			t.Errorf("draft %d: %v", i, err)
		}
	}
	names := map[string]string{}
	for i, name := range []string{"Alice", "Bruno", "Chen"} {
		names[must(Parse(drafts[12])).Root.Roles[RoleRoot].KeyIDs[i]] = name
	}
	f := must(Parse(drafts[12]))
	if got := f.Report(f.Root).Text(names); got != "2 of 3: missing Alice, Bruno or 183e64f3" {
		t.Error(got)
	}
}

// What is old in which version of the real chains, as findings in words.
func TestRealFindings(t *testing.T) {
	all := func(from, to int) (list []int) {
		for v := from; v <= to; v++ {
			list = append(list, v)
		}
		return list
	}
	for folder, kinds := range map[string]map[string][]int{
		"sigstore": {
			"has the old keytype ecdsa-sha2-nistp256":                             all(1, 8),
			"is a point in hex, as old roots have it":                             all(1, 4),
			"fractions of a second or an offset: 2021-12-18T13:28:12.99008-06:00": {1},
			"fractions of a second or an offset":                                  all(1, 3),
			"the key id 7247f0db is not the SHA-256":                              {11},
			"is not the SHA-256 of its key object":                                {11},
			"is an empty placeholder":                                             {12, 13, 14},
			"has the old field keyid_hash_algorithms":                             all(1, 15),
			"has the unknown field x-tuf-on-ci-keyowner":                          all(10, 15),
			"has the unknown field x-tuf-on-ci-online-uri":                        all(10, 15),
			"the role timestamp has the unknown field x-tuf-on-ci-":               all(10, 15),
			"unknown field x-tuf-on-ci-signing-period":                            all(10, 15),
			"spec_version is 1.0;":                                                all(1, 15),
			"private":                                                             nil,
			"one and the same key":                                                nil,
			"no role uses":                                                        nil,
			"consistent_snapshot":                                                 nil,
			"beyond ASCII":                                                        nil,
		},
		"joomla-updates": {
			"has the old field keyid_hash_algorithms": all(1, 16),
			"spec_version is 1.0;":                    all(1, 16),
			"keytype":                                 nil,
			"SHA-256":                                 nil,
			"placeholder":                             nil,
			"fractions":                               nil,
		},
		"datadog-config": {
			"has the old field keyid_hash_algorithms": {1},
			"spec_version is 1.0;":                    {1},
			"keytype":                                 nil,
		},
		"pqc-test": {
			"is ML-DSA (TAP 21)": {1},
			"can't be verified":  nil,
		},
		"multi-key-test": {
			"key abcd can't be verified here and counts for nothing: the kind sigstore-oidc": {1},
			"the key id abcd is not the SHA-256":                                             {1},
		},
	} {
		t.Run(folder, func(t *testing.T) {
			found := map[string][]int{}
			for i, data := range realFiles(t, folder, "*.root.json") {
				f := must(Parse(data))
				for kind := range kinds {
					if slices.ContainsFunc(f.Findings, func(f Finding) bool { return strings.Contains(f.Text, kind) }) {
						found[kind] = append(found[kind], i+1)
					}
				}
				role := f.Root.Roles[RoleRoot]
				switch folder {
				case "joomla-updates":
					if role.Threshold != 1 || len(role.KeyIDs) > 3 {
						t.Errorf("joomla %d: %d of %d", i+1, role.Threshold, len(role.KeyIDs))
					}
				case "datadog-config":
					if role.Threshold != 2 || len(role.KeyIDs) != 2 || f.Root.Expires.Year() != 1970 {
						t.Errorf("datadog: %d of %d, %v", role.Threshold, len(role.KeyIDs), f.Root.Expires)
					}
				case "sigstore":
					if role.Threshold != 3 || len(role.KeyIDs) != 5 {
						t.Errorf("sigstore %d: %d of %d", i+1, role.Threshold, len(role.KeyIDs))
					}
				}
			}
			for kind, want := range kinds {
				if !slices.Equal(found[kind], want) {
					t.Errorf("%q in versions %v, want %v", kind, found[kind], want)
				}
			}
		})
	}
}

// Roots with keys that cannot be verified here, as people had them refused: the
// rest of the root is judged.
func TestUnknownKinds(t *testing.T) {
	for name, want := range map[string]string{
		"unk-oidc": "key abcd can't be verified here and counts for nothing: the kind sigstore-oidc with scheme Fulcio isn't known here",
		"unk-ts":   "key 7e6b9aff can't be verified here and counts for nothing: it isn't a readable ML-DSA key",
		"unk-root": "key 7e6b9aff can't be verified here and counts for nothing: it isn't a readable ML-DSA key",
	} {
		var c Chain
		step, err := c.Add(must(os.ReadFile("testdata/field/" + name + ".root.json")))
		if err != nil || step.New.Have != 2 || step.New.Need != 2 {
			t.Errorf("%s: %+v, %v", name, step.New, err)
		}
		if got := strings.Join(Notes(step.Findings), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: %s", name, got)
		}
		if all := strings.Join(Show(c.Last(), expiry, nil), "\n"); !strings.Contains(all, "can't be verified here, key id") {
			t.Errorf("%s: %s", name, all)
		}
		if strings.Contains(step.New.Text(nil), "7e6b9aff") { // which has not signed
			t.Errorf("%s: %s", name, step.New.Text(nil))
		}
	}
}
