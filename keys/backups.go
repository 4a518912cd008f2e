package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

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
	What   string       // BackupKey or BackupToken
	Public PublicKey    // BackupKey: the key that will be imported
	Files  []SealedFile // at least one
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
	Public PublicKey // P-256
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

// Origin is where a root key comes from.
type Origin string

// The origins of root keys.
const (
	FromToken   Origin = "token"   // the token makes it, and it never leaves that
	FromSession Origin = "session" // the session's process makes it; it is sealed, stored, and imported
	FromHeld    Origin = "held"    // the one that the session's process has: of an order before, or of an opened backup
)

// RootKeyOrder is what Session.MakeRootKey makes.
type RootKeyOrder struct {
	Algorithm Algorithm `json:"algorithm"`
	Touch     Touch     `json:"touch"`
	From      Origin    `json:"from"`

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
	What   string    `json:"what,omitempty"`   // BackupKey or BackupToken; "": it was no last layer
	Data   []byte    `json:"data,omitempty"`   // of what was no last layer: what is in it
	Public PublicKey `json:"public,omitzero"`  // BackupKey: the root key
	Serial uint32    `json:"serial,omitempty"` // BackupToken: whose PUK and management key they are
}

// makeRootKey is Session.MakeRootKey. All secrets are sealed and stored before
// the token is changed, so a failure until then leaves it as it was. With PUK
// and management key set, nobody can set another PIN or overwrite the key; so
// they go before it.
func (s *server) makeRootKey(order RootKeyOrder) (PublicKey, error) {
	info, err := s.token.Info()
	if err == nil {
		err = s.mayMake(order, info)
	}
	if err != nil {
		return PublicKey{}, err
	}
	access := s.access
	if !s.begun(info) {
		if access, err = newTokenKeys(info.Serial); err != nil {
			return PublicKey{}, err
		}
		if order.Seal == nil {
			defer access.wipe()
		} else if err := s.storeAccess(order, access); err != nil {
			return PublicKey{}, err
		}
	}
	if order.From == FromSession {
		key, err := newRootKey(order.Algorithm, order.Entropy)
		if err != nil {
			return PublicKey{}, err
		}
		if err := s.storeKey(order, key); err != nil {
			return PublicKey{}, err
		}
	}
	if err := setAccess(s.token, info, access); err != nil {
		return PublicKey{}, err
	}
	policy := Policy{PINAlways, order.Touch}
	if order.From != FromToken {
		return s.key.public, importRootKey(s.token, access.management, s.key, policy)
	}
	public, err := s.token.Generate(access.management, SlotRoot, order.Algorithm, policy)
	if err != nil {
		return PublicKey{}, fmt.Errorf("make the key in slot %v: %w", SlotRoot, err)
	}
	return public, nil
}

// mayMake tells whether the order can be carried out: what the token would
// refuse at the end must not begin.
func (s *server) mayMake(order RootKeyOrder, info Info) error {
	switch {
	case order.Algorithm != Ed25519 && order.Algorithm != P256 && order.Algorithm != P384:
		return &TokenError{fmt.Sprintf("no token makes %q keys", order.Algorithm)}
	case order.Touch != TouchNever && order.Touch != TouchAlways && order.Touch != TouchCached:
		return &TokenError{fmt.Sprintf("no token knows the touch policy %q", order.Touch)}
	case order.Algorithm == Ed25519 && info.Firmware.Less(firmwareEd25519):
		return &TokenError{fmt.Sprintf("token %d has firmware %v, and ed25519 needs %v (hint: another token, or ecdsa-p256 in the plan)",
			info.Serial, info.Firmware, firmwareEd25519)}
	}
	if _, taken := info.Key(SlotRoot); taken {
		return &SlotTakenError{SlotRoot}
	}
	if info.PINDefault {
		return &NotFreshError{info.Serial, []string{"its PIN is still the default"}}
	}
	if !(info.PUKDefault && info.ManagementDefault) && !s.begun(info) {
		info.Keys, info.PINDefault = nil, true // those are the holder's
		return &NotFreshError{info.Serial, info.NotFresh()}
	}
	switch {
	case len(order.Entropy) > 0 && order.From != FromSession:
		return errors.New("extra entropy is for a root key that is made in the session only")
	case order.Seal != nil && s.backups.Seal == nil:
		return errors.New("this program seals no backups")
	case order.From == FromToken:
	case order.From == FromSession && order.Seal == nil:
		return errors.New("a root key that is made outside of a token is backed up first, and the order says nothing of backups")
	case order.From == FromSession:
	case order.From != FromHeld:
		return fmt.Errorf("a root key from %q, which this version does not know", order.From)
	case s.key == nil:
		return errors.New("the session has no root key to import (hint: open its backup first)")
	case s.key.public.Algorithm != order.Algorithm:
		return fmt.Errorf("the session's root key is of the kind %s, not %s", s.key.public.Algorithm, order.Algorithm)
	}
	return nil
}

// begun tells whether an order was cut off after the token had its PUK, and
// these are at hand, from its backup or since then.
func (s *server) begun(info Info) bool {
	return !(info.PUKDefault && info.ManagementDefault) && s.access != nil && s.access.serial == info.Serial
}

// setAccess sets PUK and management key in place of the factory's. Where one is
// set already, it is proved to be this one.
func setAccess(t Token, info Info, access *tokenKeys) error {
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

// importRootKey imports the key and reads back what the token has then.
func importRootKey(t Token, management *secret.Buffer, key *rootKey, policy Policy) error {
	if err := t.Import(management, SlotRoot, key.public.Algorithm, key.seed, policy); err != nil {
		return fmt.Errorf("import the key into slot %v: %w", SlotRoot, err)
	}
	info, err := t.Info()
	if err != nil {
		return fmt.Errorf("read back the key in slot %v: %w", SlotRoot, err)
	}
	if found, _ := info.Key(SlotRoot); found != (SlotKey{SlotRoot, key.public, policy, false}) {
		return &TokenError{fmt.Sprintf("slot %v of token %d does not hold the key that was imported, or not with its policies (hint: reset the token, and use another)", SlotRoot, info.Serial)}
	}
	return nil
}

// storeKey has the key stored, and then keeps it for orders that come, in place
// of another.
func (s *server) storeKey(order RootKeyOrder, key *rootKey) error {
	text, err := keyText(key)
	if err == nil {
		err = s.store(order, BackupKey, key.public, text)
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
		err = s.store(order, BackupToken, PublicKey{}, text)
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
func (s *server) store(order RootKeyOrder, what string, public PublicKey, text *secret.Buffer) error {
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
			return Opened{}, ErrNoToken
		}
		info, err := s.token.Info()
		if err != nil {
			return Opened{}, err
		}
		k, found := info.Key(SlotAge)
		if !found {
			return Opened{}, &NoKeyError{SlotAge}
		}
		pin := secrets[0]
		secrets = secrets[1:]
		token = &AgeToken{k.Public, func(peer []byte) (shared *secret.Buffer, err error) {
			if failed == nil {
				shared, failed = s.ecdh(SlotAge, pin, peer)
			}
			return shared, failed
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
		return Opened{What: BackupKey, Public: key.public}, nil
	}
	access, err := readTokenText(text)
	if err != nil {
		return Opened{}, fmt.Errorf("the backup opened, but it holds no root key and no PUK: %w", err)
	}
	s.access.wipe()
	s.access = access
	return Opened{What: BackupToken, Serial: access.serial}, nil
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
		return &SerialError{Want: s.access.serial, Got: info.Serial}
	}
	return s.token.Unblock(s.access.puk, pin)
}
