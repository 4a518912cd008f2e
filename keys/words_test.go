package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// The fingerprint that the first publications of the list show.
func TestWordsKnown(t *testing.T) {
	digest, err := hex.DecodeString("E58294F2E9A227486E8B061B31CC528FD7FA3F19")
	if err != nil {
		t.Fatal(err)
	}
	want := "topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa " +
		"afflict bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless"
	if got := strings.Join(Words(digest), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Groups(digest[:5]); got != "e582 94f2 e9" {
		t.Errorf("groups: %q", got)
	}
	if len(Words(nil)) != 0 || Groups(nil) != "" {
		t.Error("an empty digest has words")
	}
}

// Both lists are alphabetical but for one pair, so a word that was forgotten,
// doubled or put in the wrong place shows. The checksum was made when the list
// was compared with an independent copy.
func TestWordLists(t *testing.T) {
	seen := map[string]bool{}
	for _, list := range wordLists() {
		if len(list) != 256 {
			t.Fatalf("%d words", len(list))
		}
		for _, w := range list {
			if seen[strings.ToLower(w)] {
				t.Errorf("%s is there twice", w)
			}
			seen[strings.ToLower(w)] = true
		}
		for i, w := range list[1:] {
			if before := list[i]; strings.ToLower(before) > strings.ToLower(w) && w != "Apollo" {
				t.Errorf("%s comes after %s", w, before)
			}
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(slices.Concat(wordLists()[0], wordLists()[1]), "\n")))
	if hex.EncodeToString(sum[:]) != "e9b7b0052233a74aa56724ed3f79c272036aed68d8f4c0856e833c8043b9ac62" {
		t.Errorf("the list has changed: %x", sum)
	}
	// Vowel groups bound syllables from below well enough to tell the lists
	// apart as wholes.
	vowels := func(list []string) (n int) {
		for _, w := range list {
			in := false
			for _, r := range strings.ToLower(w) {
				v := strings.ContainsRune("aeiouy", r)
				if v && !in {
					n++
				}
				in = v
			}
		}
		return n
	}
	if even, odd := vowels(wordLists()[0]), vowels(wordLists()[1]); even > 256*5/2 || odd < 256*5/2 {
		t.Errorf("the lists are swapped: %d and %d groups of vowels", even, odd)
	}
}
