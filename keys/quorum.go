package keys

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// MaxSubsets is how many files one secret may need: every k of n recipients
// have one of their own.
const MaxSubsets = 100

// maxName is the longest file name, in bytes. File systems take 255 (FAT too),
// and a temporary name is longer than the final one.
const maxName = 220

// Subsets is how many subsets of k there are among n, counted up to
// MaxSubsets+1, which stands for all that are more.
func Subsets(n, k int) int {
	if k < 0 || k > n {
		return 0
	}
	count := 1
	for i := 1; i <= min(k, n-k); i++ {
		count = count * (n - min(k, n-k) + i) / i // exact: a binomial coefficient each time
		if count > MaxSubsets {
			return MaxSubsets + 1
		}
	}
	return count
}

// Quorums is every subset of k of the recipients of one holder's backups, each
// and all in order of slugs. The holder is given so that they can be found
// among the recipients, by slug or by key, which is an error: a backup that
// its own holder must help to open is none. Whether two passphrases are the same
// isn't known here. Other errors: k out of range, a
// recipient without slug, two with one slug or one key, more than MaxSubsets
// subsets, file names too long.
func Quorums(holder Recipient, recipients []Recipient, k int) ([][]Recipient, error) {
	n := len(recipients)
	switch {
	case holder.Slug == "":
		return nil, errors.New("whose backup it is must be known")
	case k < 1:
		return nil, fmt.Errorf("the backup of %s: a quorum of %d: at least 1 recipient must come", holder.Name, k)
	case k > n:
		return nil, fmt.Errorf("the backup of %s: a quorum of %d is more than the recipients, who are %d (hint: a lower quorum, or more recipients)", holder.Name, k, n)
	}
	sorted := slices.Clone(recipients)
	slices.SortFunc(sorted, func(a, b Recipient) int { return cmp.Compare(a.Slug, b.Slug) })
	for i, r := range sorted {
		if r.Slug == holder.Slug || r.sameKey(holder) {
			return nil, fmt.Errorf("recipient %q is the holder %s, who cannot be a recipient of their own backup", r.Name, holder.Name)
		}
		if !slugForm.MatchString(r.Slug) {
			return nil, fmt.Errorf("recipient %q has no name for files: %q is not 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit (hint: a short name in plain letters)", r.Name, r.Slug)
		}
		for _, other := range sorted[:i] {
			if r.Slug == other.Slug {
				return nil, fmt.Errorf("recipients %q and %q are both %s in file names (hint: name one of them differently)", other.Name, r.Name, r.Slug)
			}
			if r.sameKey(other) {
				return nil, fmt.Errorf("recipients %q and %q are the same key: one person would count as two", other.Name, r.Name)
			}
		}
	}
	if Subsets(n, k) > MaxSubsets {
		return nil, fmt.Errorf("the backup of %s: %d of %d recipients make more than %d files for each secret (hint: fewer recipients, or a quorum nearer to 1 or to %d)", holder.Name, k, n, MaxSubsets, n)
	}
	quorums := choose(sorted, k)
	for _, quorum := range quorums {
		if name := BackupName(quorum, BackupToken); len(name) > maxName {
			return nil, fmt.Errorf("the file name %s has %d characters: at most %d (hint: shorter names of recipients)", name, len(name), maxName)
		}
	}
	return quorums, nil
}

// choose is all subsets of k, in order.
func choose(from []Recipient, k int) [][]Recipient {
	switch k {
	case 0:
		return [][]Recipient{nil}
	case len(from): // at once, as a hostile plan may name thousands
		return [][]Recipient{slices.Clone(from)}
	}
	var all [][]Recipient
	for i := range from[:len(from)-k+1] {
		for _, rest := range choose(from[i+1:], k-1) {
			all = append(all, append([]Recipient{from[i]}, rest...))
		}
	}
	return all
}

// The secrets that are backed up, as file names say it.
const (
	BackupKey   = "key"   // the root key: PKCS #8 in PEM
	BackupToken = "token" // serial, PUK and management key of a token: three lines of text
)

// BackupName is the name of the file for a quorum, in order of slugs, and for
// BackupKey or BackupToken: bruno+chen+dana.key.age.
func BackupName(quorum []Recipient, what string) string {
	slugs := make([]string, len(quorum))
	for i, r := range quorum {
		slugs[i] = r.Slug
	}
	return strings.Join(slugs, "+") + "." + what + ".age"
}

// Layer is one layer of a backup file: whose it is, and how many are in it.
type Layer struct {
	File  string `json:"file"`  // the file's name, without its folder
	What  string `json:"what"`  // BackupKey or BackupToken, which is in the last layer
	Who   string `json:"who"`   // slug
	Inner int    `json:"inner"` // layers within this one; 0: the secret itself
}

var nameForm = regexp.MustCompile(`^([a-z0-9+-]+)\.(key|token)\.age$`)

// Layers reads the name of a backup file, without its folder: the layers, the
// outermost first, which is the last name's. Names that BackupName does not make
// are errors.
func Layers(file string) ([]Layer, error) {
	refuse := func(why string) ([]Layer, error) {
		return nil, fmt.Errorf("%.80q is not the name of a backup file: %s (hint: the names of those who open it, such as bruno+chen+dana.key.age)", file, why)
	}
	parts := nameForm.FindStringSubmatch(file)
	if parts == nil {
		return refuse("it does not end in .key.age or .token.age, or has other characters than a-z, 0-9, - and +")
	}
	if len(file) > maxName {
		return refuse("it is too long")
	}
	slugs := strings.Split(parts[1], "+")
	layers := make([]Layer, len(slugs))
	for i, s := range slugs {
		if !slugForm.MatchString(s) {
			return refuse("a name in it is empty, too long, or begins with -")
		}
		if i > 0 && slugs[i-1] >= s {
			return refuse("its names are not in order of the alphabet, each once")
		}
		layers[len(slugs)-1-i] = Layer{file, parts[2], s, i}
	}
	return layers, nil
}
