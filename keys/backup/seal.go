package backup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"filippo.io/age"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// maxSecret is the longest secret, in bytes. age reads up to 512 bytes into
// one piece of memory, of which it needs 16 itself, and encrypts them in
// place; anything longer would be moved, and leave a copy behind.
const maxSecret = 512 - 16

// scrypts limits how many passphrases are hashed at once: each takes 256 MiB.
var scrypts = make(chan struct{}, 4)

// seal encrypts a secret, what is keys.BackupKey or keys.BackupToken, for every
// quorum that keys.Quorums finds, as many at once as there are processors:
// nested, to the first recipient of the quorum, then to the next, so that the
// last name's layer is the outermost. The result is in the order of
// keys.Quorums. The secret, of 1 to 496 bytes, stays the caller's.
func seal(plaintext *secret.Buffer, what string, holder keys.Recipient, recipients []*Recipient, k int) ([]session.SealedFile, error) {
	if what != keys.BackupKey && what != keys.BackupToken {
		return nil, fmt.Errorf("a backup is of a %s or a %s, not of %q", keys.BackupKey, keys.BackupToken, what)
	}
	if n := plaintext.Len(); n < 1 || n > maxSecret {
		return nil, fmt.Errorf("a secret of %d bytes cannot be sealed: 1 to %d", n, maxSecret)
	}
	var all []keys.Recipient
	bySlug := map[string]*Recipient{}
	for _, r := range recipients {
		all = append(all, r.Recipient)
		bySlug[r.Slug] = r
	}
	quorums, err := keys.Quorums(holder, all, k)
	if err != nil {
		return nil, err
	}
	if err := passphrasesDiffer(recipients); err != nil {
		return nil, err
	}
	for _, r := range recipients {
		if err := r.ready(); err != nil {
			return nil, err
		}
	}
	files := make([]session.SealedFile, len(quorums))
	failures := make([]error, len(quorums))
	var next atomic.Int64
	var failed atomic.Bool
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(quorums)) {
		workers.Go(func() {
			for i := int(next.Add(1) - 1); i < len(quorums) && !failed.Load(); i = int(next.Add(1) - 1) {
				files[i].Name = keys.BackupName(quorums[i], what)
				var quorum []*Recipient
				for _, r := range quorums[i] {
					quorum = append(quorum, bySlug[r.Slug])
				}
				if files[i].Data, failures[i] = nest(plaintext.Bytes(), quorum); failures[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	workers.Wait()
	runtime.KeepAlive(plaintext)
	if i := slices.IndexFunc(failures, func(err error) bool { return err != nil }); i >= 0 {
		return nil, fmt.Errorf("%s: %w", files[i].Name, failures[i])
	}
	return files, nil
}

// passphrasesDiffer refuses two recipients who have one passphrase, which
// keys.Quorums doesn't know.
func passphrasesDiffer(recipients []*Recipient) error {
	sorted := slices.SortedFunc(slices.Values(recipients), func(a, b *Recipient) int { return cmp.Compare(a.Slug, b.Slug) })
	for i, r := range sorted {
		for _, other := range sorted[:i] {
			if r.passphrase != nil && other.passphrase != nil && secret.Equal(r.passphrase, other.passphrase) {
				return fmt.Errorf("recipients %q and %q are the same key: one person would count as two", other.Name, r.Name)
			}
		}
	}
	return nil
}

// nest encrypts to the first of a quorum, the result to the next, and so on.
func nest(plaintext []byte, quorum []*Recipient) ([]byte, error) {
	data := plaintext
	for _, r := range quorum {
		sealed, err := sealTo(r, data)
		if err != nil {
			return nil, err
		}
		data = sealed
	}
	return data, nil
}

// sealTo encrypts to one recipient.
func sealTo(r *Recipient, data []byte) ([]byte, error) {
	if r.Kind == keys.RecipientPassphrase {
		scrypts <- struct{}{}
		defer func() { <-scrypts }()
	}
	to, err := r.wraps()
	if err != nil {
		return nil, err
	}
	// Of age's two ways this is the one that leaves no copy: it encrypts in
	// the memory that it reads into.
	sealed, err := age.EncryptReader(&whole{data}, to)
	if err != nil {
		// age's own words around it count recipients, of which there is one.
		return nil, fmt.Errorf("recipient %q: %w", r.Name, cmp.Or(errors.Unwrap(err), err))
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, sealed); err != nil {
		return nil, fmt.Errorf("recipient %q: %w", r.Name, err)
	}
	return out.Bytes(), nil
}

// whole reads bytes and says with the last of them that they are the last, so
// that nobody makes room for more and moves what there is.
type whole struct{ left []byte }

func (w *whole) Read(p []byte) (int, error) {
	n := copy(p, w.left)
	w.left = w.left[n:]
	if len(w.left) == 0 {
		return n, io.EOF
	}
	return n, nil
}
