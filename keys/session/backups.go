package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// SealedFile is a sealed backup: the file's name, without a folder, and what
// is in it.
type SealedFile struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// Sealed is a secret that is to be stored, for good, before it is used.
type Sealed struct {
	What   string         // BackupKey or BackupToken
	Public keys.PublicKey // BackupKey: the key that will be imported
	Files  []SealedFile   // at least one
}

// Sealer seals a secret, in the child process. order is RootKeyOrder.Seal and
// passphrases are RootKeyOrder.Passphrases; what is BackupKey or BackupToken.
// The plaintext and the passphrases stay the caller's. It returns at least one
// file, and at most 100.
type Sealer func(order json.RawMessage, passphrases []*secret.Buffer, what string, plaintext *secret.Buffer) ([]SealedFile, error)

// Unsealer opens a layer of a sealed file, in the child process. order is
// BackupOrder.Open and secrets are BackupOrder.Secrets; token is the selected
// token where that is to open it, and else nil.
type Unsealer func(order json.RawMessage, secrets []*secret.Buffer, token *AgeToken, ciphertext []byte) (Unsealed, error)

// Unsealed is what was in a layer: of the last one the secret, which is the
// caller's to wipe, and of any other what may leave the process.
type Unsealed struct {
	Secret *secret.Buffer
	Public []byte
}

// AgeToken is a token that opens age files with its key in slot 82.
type AgeToken struct {
	Public keys.PublicKey // P-256
	// ECDH is that of Token, with the PIN that came with the order. After a
	// failure it refuses, so that no second try of the PIN is risked.
	ECDH func(peer []byte) (*secret.Buffer, error)
}

// Backups is what seals and opens backups in the child process. Without one of
// them, the orders that need it are refused.
type Backups struct {
	Seal Sealer
	Open Unsealer
}

// RootKeyOrder is what Session.MakeRootKey makes.
type RootKeyOrder struct {
	Algorithm keys.Algorithm `json:"algorithm"`
	Touch     keys.Touch     `json:"touch"`
	From      keys.Origin    `json:"from"`

	// Seal is what the Sealer needs to know. Without it nothing is sealed: PUK
	// and management key are never kept, and FromSession is refused.
	Seal json.RawMessage `json:"seal,omitempty"`

	// Passphrases are the Sealer's. Entropy, of FromSession, is mixed into the
	// random bytes of the key. Each of them has at most 16 KiB, and together
	// they are at most 100. They stay the caller's.
	Passphrases []*secret.Buffer `json:"-"`
	Entropy     []*secret.Buffer `json:"-"`
}

// BackupOrder is what Session.OpenBackup opens.
type BackupOrder struct {
	Ciphertext []byte           // a layer, an age file of at most 1 MiB
	Open       json.RawMessage  // what the Unsealer needs to know
	Secrets    []*secret.Buffer // the Unsealer's: the text of an identity, a passphrase; they stay the caller's
	PIN        *secret.Buffer   // where the selected token opens it: its PIN; else nil
}

// Opened is what an opened backup holds. The secret itself stays in the
// session's process.
type Opened struct {
	What   string         `json:"what,omitempty"`   // BackupKey or BackupToken; "": it was no last layer
	Data   []byte         `json:"data,omitempty"`   // of what was no last layer: what is in it
	Public keys.PublicKey `json:"public,omitzero"`  // BackupKey: the root key
	Serial uint32         `json:"serial,omitempty"` // BackupToken: whose PUK and management key they are
}

// makeRootKey is Session.MakeRootKey. All secrets are sealed and stored before
// the token is changed, so a failure until then leaves it as it was. With PUK
// and management key set, nobody can set another PIN or overwrite the key; so
// they go before it.
func (s *server) makeRootKey(j job) (keys.PublicKey, error) {
	if j.Order == nil {
		return keys.PublicKey{}, errors.New("no order for a root key")
	}
	order, passphrases := *j.Order, len(j.given)-j.Entropy
	order.Passphrases, order.Entropy = j.given[:passphrases], j.given[passphrases:]
	info, err := s.token.Info()
	if err == nil {
		err = s.mayMake(order, info)
	}
	if err != nil {
		return keys.PublicKey{}, err
	}
	access := s.access
	if !s.begun(info) {
		if access, err = newTokenKeys(info.Serial); err != nil {
			return keys.PublicKey{}, err
		}
		if order.Seal == nil {
			defer access.wipe()
		} else if err := s.storeAccess(order, access); err != nil {
			return keys.PublicKey{}, err
		}
	}
	if order.From == keys.FromSession {
		key, err := newRootKey(order.Algorithm, order.Entropy)
		if err != nil {
			return keys.PublicKey{}, err
		}
		if err := s.storeKey(order, key); err != nil {
			return keys.PublicKey{}, err
		}
	}
	if err := setAccess(s.token, info, access); err != nil {
		return keys.PublicKey{}, err
	}
	made := keys.SlotKey{Slot: keys.SlotRoot, Policy: keys.Policy{PIN: keys.PINAlways, Touch: order.Touch}, Generated: order.From == keys.FromToken}
	if made.Generated {
		made.Public, err = s.token.Generate(access.management, keys.SlotRoot, order.Algorithm, made.Policy)
	} else {
		made.Public = s.key.public
		err = s.token.Import(access.management, keys.SlotRoot, made.Public.Algorithm, s.key.seed, made.Policy)
	}
	if err != nil {
		return keys.PublicKey{}, fmt.Errorf("make the key in slot %v: %w", keys.SlotRoot, err)
	}
	return made.Public, readBack(s.token, made)
}

// mayMake reports whether the order can be carried out: what the token would
// refuse at the end must not begin.
func (s *server) mayMake(order RootKeyOrder, info keys.Info) error {
	switch {
	case order.Algorithm != keys.Ed25519 && order.Algorithm != keys.P256 && order.Algorithm != keys.P384:
		return &keys.TokenError{Text: fmt.Sprintf("no token makes %q keys", order.Algorithm)}
	case order.Touch != keys.TouchNever && order.Touch != keys.TouchAlways && order.Touch != keys.TouchCached:
		return &keys.TokenError{Text: fmt.Sprintf("no token knows the touch policy %q", order.Touch)}
	case order.Algorithm == keys.Ed25519 && info.Firmware.Less(firmwareEd25519):
		return &keys.TokenError{Text: fmt.Sprintf("token %s has firmware %v, and ed25519 needs %v (hint: another token, or ecdsa-p256 in the plan)",
			keys.SerialText(info.Serial), info.Firmware, firmwareEd25519)}
	}
	if _, taken := info.Key(keys.SlotRoot); taken {
		return &keys.SlotTakenError{Slot: keys.SlotRoot}
	}
	if info.PINDefault {
		return &keys.NotFreshError{Serial: info.Serial, Found: []string{"its PIN is still the default"}}
	}
	if !(info.PUKDefault && info.ManagementDefault) && !s.begun(info) {
		info.Keys, info.PINDefault = nil, true // those are the holder's
		return &keys.NotFreshError{Serial: info.Serial, Found: info.NotFresh()}
	}
	switch {
	case len(order.Entropy) > 0 && order.From != keys.FromSession:
		return errors.New("extra entropy is for a root key that is made in the session only")
	case order.Seal != nil && s.backups.Seal == nil:
		return errors.New("this program seals no backups")
	case order.From == keys.FromToken:
	case order.From == keys.FromSession && order.Seal == nil:
		return errors.New("a root key that is made outside of a token is backed up first, and the order says nothing of backups")
	case order.From == keys.FromSession:
	case order.From != keys.FromHeld:
		return fmt.Errorf("a root key from %q, which this version does not know", order.From)
	case s.key == nil:
		return errors.New("the session has no root key to import (hint: open its backup first)")
	case s.key.public.Algorithm != order.Algorithm:
		return fmt.Errorf("the session's root key is of the kind %s, not %s", s.key.public.Algorithm, order.Algorithm)
	}
	return nil
}

// begun reports whether an order was cut off after the token had its PUK, and
// these are at hand, from its backup or since then.
func (s *server) begun(info keys.Info) bool {
	return !(info.PUKDefault && info.ManagementDefault) && s.access != nil && s.access.serial == info.Serial
}

// setAccess sets PUK and management key in place of the factory's. Where one is
// set already, it is proved to be this one.
func setAccess(t Token, info keys.Info, access *tokenKeys) error {
	puk, err := secret.Take([]byte(DefaultPUK))
	if err != nil {
		return err
	}
	defer puk.Wipe()
	management, err := secret.Take([]byte(DefaultManagement))
	if err != nil {
		return err
	}
	defer management.Wipe()
	oldPUK, oldManagement := puk, management
	if !info.PUKDefault {
		oldPUK = access.puk
	}
	if !info.ManagementDefault {
		oldManagement = access.management
	}
	if err := t.ChangePUK(oldPUK, access.puk); err != nil {
		return fmt.Errorf("set the PUK: %w", err)
	}
	if err := t.SetManagement(oldManagement, access.management); err != nil {
		return fmt.Errorf("set the management key: %w", err)
	}
	return nil
}

// readBack holds a token to what was done to it: it has the root key, and neither PUK
// nor management key of every new token.
func readBack(t Token, made keys.SlotKey) error {
	info, err := t.Info()
	if err != nil {
		return fmt.Errorf("read back the key in slot %v: %w", made.Slot, err)
	}
	if found, _ := info.Key(made.Slot); found != made {
		return &keys.TokenError{Text: fmt.Sprintf("slot %v of token %s does not hold the key that was made for it, or not with its policies (hint: leave it as it is, and use another token)", made.Slot, keys.SerialText(info.Serial))}
	}
	if info.PUKDefault || info.ManagementDefault {
		return &keys.TokenError{Text: fmt.Sprintf("token %s still has the PUK or the management key of every new token, though others were set (hint: leave it as it is, and use another token)", keys.SerialText(info.Serial))}
	}
	return nil
}

// storeKey has the key stored, and then keeps it for orders that come, in place
// of another.
func (s *server) storeKey(order RootKeyOrder, key *rootKey) error {
	text, err := keyText(key)
	if err == nil {
		err = s.store(order, keys.BackupKey, key.public, text)
	}
	if err != nil {
		key.wipe()
		return err
	}
	s.key.wipe()
	s.key = key
	return nil
}

// storeAccess does the same for PUK and management key.
func (s *server) storeAccess(order RootKeyOrder, access *tokenKeys) error {
	text, err := tokenText(access)
	if err == nil {
		err = s.store(order, keys.BackupToken, keys.PublicKey{}, text)
	}
	if err != nil {
		access.wipe()
		return err
	}
	s.access.wipe()
	s.access = access
	return nil
}

// store seals a text, hands the files to the parent, and waits until it says
// that it has stored them. It wipes the text.
func (s *server) store(order RootKeyOrder, what string, public keys.PublicKey, text *secret.Buffer) error {
	defer text.Wipe()
	files, err := s.backups.Seal(order.Seal, order.Passphrases, what, text)
	if err == nil && (len(files) == 0 || len(files) > maxFiles) {
		err = fmt.Errorf("%d files were made of it, and 1 to %d can be stored", len(files), maxFiles)
	}
	if err != nil {
		return fmt.Errorf("seal the %s backup: %w", what, err)
	}
	for _, f := range files {
		if err := writeJSON(s.w, frameFile, f); err != nil {
			return fmt.Errorf("hand over the sealed file %s: %w", f.Name, err)
		}
	}
	s.storing.Store(true)
	if err := writeJSON(s.w, frameEvent, event{Store: what, Public: public}); err != nil {
		return err
	}
	select {
	case <-s.stored:
		return nil
	case <-s.ended:
		return io.ErrUnexpectedEOF
	}
}

// openBackup is Session.OpenBackup.
func (s *server) openBackup(j job) (Opened, error) {
	if s.backups.Open == nil {
		return Opened{}, errors.New("this program opens no backups")
	}
	secrets := j.given
	var token *AgeToken
	var failed error
	if j.WithToken {
		if s.token == nil || len(secrets) == 0 {
			return Opened{}, keys.ErrNoToken
		}
		info, err := s.token.Info()
		if err != nil {
			return Opened{}, err
		}
		k, found := info.Key(keys.SlotAge)
		if !found {
			return Opened{}, &keys.NoKeyError{Slot: keys.SlotAge}
		}
		pin := secrets[0]
		secrets = secrets[1:]
		token = &AgeToken{k.Public, func(peer []byte) (*secret.Buffer, error) {
			if failed != nil {
				return nil, failed
			}
			var said error
			shared, err := s.token.ECDH(keys.SlotAge, pin, peer, s.announce(&said))
			if failed = errors.Join(err, said); failed != nil {
				shared.Wipe()
				return nil, failed
			}
			return shared, nil
		}}
	}
	unsealed, err := s.backups.Open(j.Open, secrets, token, j.Message)
	if failed != nil { // whatever age made of it
		err = failed
	}
	if err != nil {
		return Opened{}, fmt.Errorf("open the backup: %w", err)
	}
	if unsealed.Secret == nil {
		return Opened{Data: unsealed.Public}, nil
	}
	defer unsealed.Secret.Wipe()
	return s.holdOpened(unsealed.Secret)
}

// holdOpened keeps what an opened backup holds.
func (s *server) holdOpened(text *secret.Buffer) (Opened, error) {
	if bytes.HasPrefix(text.Bytes(), []byte(pemBegin)) {
		key, err := readKeyText(text)
		if err != nil {
			return Opened{}, fmt.Errorf("the backup opened, but the root key in it cannot be read: %w", err)
		}
		s.key.wipe()
		s.key = key
		return Opened{What: keys.BackupKey, Public: key.public}, nil
	}
	access, err := readTokenText(text)
	if err != nil {
		return Opened{}, fmt.Errorf("the backup opened, but it holds no root key and no PUK: %w", err)
	}
	s.access.wipe()
	s.access = access
	return Opened{What: keys.BackupToken, Serial: access.serial}, nil
}

// unblockHeld is Session.UnblockFromBackup.
func (s *server) unblockHeld(pin *secret.Buffer) error {
	if s.access == nil {
		return errors.New("the session has no PUK (hint: open its backup first)")
	}
	info, err := s.token.Info()
	if err != nil {
		return err
	}
	if info.Serial != s.access.serial {
		return &keys.SerialError{Want: s.access.serial, Got: info.Serial}
	}
	return newPIN(s.token.Unblock(s.access.puk, pin))
}
