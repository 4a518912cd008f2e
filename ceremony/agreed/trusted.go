package agreed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// TrustedDir is where a ceremony keeps the chain it starts from, as N.root.json.
const TrustedDir = "trusted"

// TrustedFile is a root of the trusted chain in the ceremony directory.
func TrustedFile(version int64) string { return fmt.Sprintf("%s/%d.root.json", TrustedDir, version) }

// Trusted is the trusted chain in an agreed plan.
type Trusted struct {
	Versions []TrustedVersion `json:"versions"` // from the first, which people trust, to the newest
	Root     string           `json:"root"`     // the newest, byte for byte
}

// TrustedVersion is one root of the chain, by the SHA-256 of its file.
type TrustedVersion struct {
	Version int64  `json:"version"`
	SHA256  string `json:"sha256"`
}

// Newest is the last of the versions.
func (t *Trusted) Newest() TrustedVersion { return t.Versions[len(t.Versions)-1] }

// check holds a chain, which may come from a hostile file, to what ReadTrusted
// returns, as far as can be told from the newest root alone; and returns that.
func (t *Trusted) check() (*tuf.File, error) {
	if len(t.Versions) == 0 {
		return nil, errors.New("no version is named")
	}
	for i, v := range t.Versions {
		if len(v.SHA256) != 64 || strings.Trim(v.SHA256, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("version %d has no SHA-256", v.Version)
		}
		if v.Version != t.Versions[0].Version+int64(i) {
			return nil, fmt.Errorf("version %d is not the next", v.Version)
		}
	}
	f, err := tuf.Parse([]byte(t.Root))
	if err != nil {
		return nil, err
	}
	if report := f.Report(f.Root); !report.Good() {
		return nil, fmt.Errorf("the newest root is not signed by enough of its keys: %s", report.Text(nil))
	}
	if last := t.Newest(); DigestOf([]byte(t.Root)) != last.SHA256 || f.Root.Version != last.Version {
		return nil, errors.New("the newest root is not the one that is named")
	}
	return f, nil
}

// DropID names a dropped key in files and prompts, by n characters of its id at
// most. Old key ids need not be hex.
func DropID(keyID string, n int) string {
	id := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(keyID))
	return "old-" + id[:min(len(id), n)]
}

// checkKeyID refuses key ids that cannot be shown or typed as they are.
func checkKeyID(s string) error { return CheckShown(s, 255) }

func checkDropReason(s string) error {
	if !slices.Contains([]string{Lost, Stolen, Compromised, Retired}, s) {
		return fmt.Errorf("%q is none of %s, %s, %s, %s", s, Lost, Stolen, Compromised, Retired)
	}
	return nil
}

// ValueOf names the key with an id of a root by what it is.
func ValueOf(root *tuf.Root, id string) string {
	key, _ := root.Key(id)
	return key.Value()
}

func shortened(ids []string) []string {
	var short []string
	for _, id := range ids {
		short = append(short, fmt.Sprintf("%.8s...", id))
	}
	return short
}

// trustedLines says what chain a plan starts from.
func (r *Plan) trustedLines(now time.Time) []string {
	if r.Trusted == nil {
		return nil
	}
	first, last, root := r.Trusted.Versions[0], r.Trusted.Newest(), r.TrustedRoot()
	lines := []string{
		fmt.Sprintf("versions %d to %d were verified, each by the one before", first.Version, last.Version),
		fmt.Sprintf("version %d is taken on trust; the SHA-256 of its file is %s", first.Version, Grouped(first.SHA256)),
	}
	if first == last {
		lines[0] = fmt.Sprintf("version %d alone was given, and is taken on trust", first.Version)
		lines[1] = "the SHA-256 of its file is " + Grouped(first.SHA256)
	}
	if !root.Expires.After(now) {
		lines = append(lines, fmt.Sprintf("version %d expired on %s: clients refuse updates until they have the next one", last.Version, Stamp(root.Expires)))
	}
	if root.Expires.After(now.AddDate(0, 0, maxDays)) {
		lines = append(lines, fmt.Sprintf("version %d expires on %s, which is more than %d days ahead: is this computer's clock right? it says %s", last.Version, Stamp(root.Expires), maxDays, Stamp(now)))
	}
	return append(lines, "whether a newer one was published, this laptop cannot know: look where it is published")
}

// TrustedKey finds a key in the trusted root.
func (r *Plan) TrustedKey(public keys.PublicKey) (tuf.Key, bool) {
	if r.TrustedFile == nil || public == (keys.PublicKey{}) {
		return tuf.Key{}, false
	}
	for _, k := range r.TrustedFile.Root.Keys {
		if k.Public == public {
			return k, true
		}
	}
	return tuf.Key{}, false
}
