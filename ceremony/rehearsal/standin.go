// Package rehearsal makes what a rehearsal needs beyond a ceremony, all of it of
// no use for anything else. Nothing here touches a real key, token or identity.
//
// A stand-in (NewStandIn) is the plan of a real rotation or revocation with another
// key of the same kind in the place of each that the trusted root has for the role
// root. All else stays as people wrote it, comments too; where it names no token for
// such a key, a sticker is made up. The keys are put on virtual tokens where a token
// can hold them, and are files in StandInsDir where not; a root that is marked as a rehearsal's, signed by all of them, takes the
// trusted one's place. A recipient's identity is replaced by one that lies in the
// rehearsal's folder (RehearsalFiles does that alone). The plan's first line has the
// SHA-256 of the real one, by which it is known again.
//
// What follows on a rehearsal that was finished (Finished) is a rotation, on the
// tokens as they are now: of a plan that was given (ReadPlanAfter), or of one in
// which the last holder leaves and another comes (PlanAfter). AnswersFile keeps the
// PINs for its script.
package rehearsal

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/mldsa"
	"filippo.io/mldsa/x509"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// StandInsDir is where a rehearsal with stand-ins keeps the keys that are on no
// token, as ID.pem, and what is signed with them, as
// ID.N.DIGEST8.root.json, where those 8 digits begin the draft's SHA-256.
const StandInsDir = "rehearsal/stand-ins"

// StandInPIN is the PIN of all tokens that stand in for real ones: it protects
// nothing.
const StandInPIN = "7415926"

// StandIn is a plan that follows on a real chain, with another key in the place
// of every key that its old holders have: names, roles, thresholds and kinds of
// keys stay, so that people rehearse their own day.
type StandIn struct {
	// Files are what the rehearsal's directory is to hold, by path: the plan,
	// its key files, a trusted root that the stand-ins have signed, those of
	// them that are on no token, and what a script answers.
	Files map[string][]byte
	Keys  []StandInKey // to be put on tokens

	values map[string]string // what differs in the plan, by path, as TOML
}

// StandInKey is a key that stands in for one of the trusted root.
type StandInKey struct {
	Sticker   string // of its token
	Algorithm keys.Algorithm
	Private   crypto.Signer // ed25519.PrivateKey or *ecdsa.PrivateKey
}

// standInMark begins a plan that is a stand-in's, before the SHA-256 of the
// real one.
const standInMark = "# The stand-in for the plan with the SHA-256 "

// StandsInFor reports whether a plan is the stand-in for another one.
func StandsInFor(p *plan.Plan, data []byte) bool {
	return strings.HasPrefix(string(p.Data), standInMark+agreed.DigestOf(data)+":")
}

// RehearsalFiles are PlanFiles with identities made for the purpose in the place
// of those of its recipients that are no tokens, which stay in their safes.
func RehearsalFiles(p *plan.Plan) (map[string][]byte, error) {
	files, err := p.PlanFiles()
	if err != nil {
		return nil, err
	}
	s := &StandIn{Files: files, values: p.Moved()}
	before := len(files)
	for i, r := range p.Recipients {
		if err := s.recipient(agreed.Element("recipient", i), r); err != nil {
			return nil, err
		}
	}
	if len(files) == before {
		return files, nil
	}
	mark := fmt.Appendf(nil, "%s%s: other identities in the place of its recipients' own.\n", standInMark, agreed.DigestOf(p.Data))
	files[state.PlanFile] = append(mark, p.Edited(s.values)...)
	if _, err := plan.ParsePlan(files[state.PlanFile], state.PlanFile); err != nil {
		return nil, fmt.Errorf("the stand-in for %s: %w", p.File, err)
	}
	return files, nil
}

// NewStandIn makes the stand-in for a plan that could be agreed now.
func NewStandIn(p *plan.Plan, now time.Time) (*StandIn, error) {
	if p.Chain == nil {
		return nil, fmt.Errorf("%s starts from no root, so there is no key to stand in for (hint: %s holds a rehearsal of it)", p.File, p.RehearseCommand())
	}
	if root := p.Chain.Last.Root; root.Rehearsal() {
		return nil, fmt.Errorf("%s follows on version %d, which was made in a rehearsal: its keys are stand-ins already (hint: %s goes on with the tokens of that rehearsal)", p.File, root.Version, p.RehearseCommand())
	}
	resolved, err := p.Resolve(now)
	if err != nil {
		return nil, err
	}
	made, err := standInKeys(p.Chain.Last.Root)
	if err != nil {
		return nil, err
	}
	s := &StandIn{values: p.Moved()}
	if s.Files, err = p.PlanFiles(); err != nil {
		return nil, err
	}
	for name := range s.Files {
		if path.Dir(name) == agreed.TrustedDir {
			delete(s.Files, name)
		}
	}
	for _, role := range p.Roles {
		for i, key := range role.Keys {
			if other, there := made.byValue[key.Value()]; there {
				s.Files[role.Files[i]] = other.key.Object()
			}
		}
	}
	expires := p.Chain.Last.Root.Expires
	if soon := now.UTC().Truncate(time.Second).Add(ceremony.RehearsalLife); soon.Before(expires) {
		expires = soon
	}
	version := p.Chain.Last.Root.Version
	if s.Files[agreed.TrustedFile(version)], err = made.sign(p.Chain.Files[len(p.Chain.Files)-1], expires); err != nil {
		return nil, fmt.Errorf("the stand-in for version %d: %w", version, err)
	}
	for i, r := range p.Recipients {
		if err := s.recipient(agreed.Element("recipient", i), r); err != nil {
			return nil, err
		}
	}
	return s, s.place(p, made, resolved.Budget().Bytes)
}

// recipient makes an identity that stands in for a real one of backups: that
// stays in its safe. One that opens post-quantum layers is of that kind.
func (s *StandIn) recipient(at string, r plan.Recipient) error {
	if r.Passphrase {
		return nil
	}
	is, err := keys.ParseRecipient(r.Name, r.Age)
	if err != nil {
		return err
	}
	var to, identity string
	if is.PostQuantum() {
		made, err := age.GenerateHybridIdentity()
		if err != nil {
			return err
		}
		to, identity = made.Recipient().String(), made.String()
	} else {
		made, err := age.GenerateX25519Identity()
		if err != nil {
			return err
		}
		to, identity = made.Recipient().String(), made.String()
	}
	s.values[at+".age"] = plan.TomlText(to)
	s.Files[ceremony.IdentitiesDir+"/"+r.ID+".txt"] = fmt.Appendf(nil, "# It stands in for that of %s: of no use for anything else.\n# public key: %s\n%s\n", r.Name, to, identity)
	return nil
}

// place writes the plan, and decides what is on a token: what a token can hold
// and, where nobody says that there is one, can sign a root of that size with.
func (s *StandIn) place(p *plan.Plan, made *standIns, size int) error {
	values := s.values
	taken := map[string]bool{}
	for _, h := range p.Holders {
		taken[agreed.Fold(h.Token)] = true
	}
	for _, d := range p.Drops {
		taken[agreed.Fold(d.Token)] = true
	}
	onToken := map[string]StandInKey{} // by its path in the plan
	software := map[string]standIn{}
	add := func(at, keyID, sticker string) {
		one := made.byID[keyID]
		algorithm := one.key.Public.Algorithm
		values[at+".keyid"] = plan.TomlText(one.key.ID)
		if one.private == nil {
			return
		}
		if algorithm == "" || algorithm == keys.Ed25519 && sticker == "" && size > agreed.MaxTokenMessage {
			software[at] = one
			return
		}
		if sticker == "" {
			sticker = madeUpSticker(keyID, taken)
			separator := "\n"
			if where, there := p.Where[at]; !there || p.Data[where.Value] == '{' {
				separator = ", "
			}
			values[at+".keyid"] += separator + "token = " + plan.TomlText(sticker)
		}
		onToken[at] = StandInKey{sticker, algorithm, one.private}
	}
	for i, h := range p.Holders {
		if h.Custody == agreed.Existing {
			add(agreed.Element("holder", i), h.KeyID, h.Token)
		}
	}
	for i, d := range p.Drops {
		if d.Reason == agreed.Lost { // nobody can sign with it
			values[agreed.Element("drop", i)+".keyid"] = plan.TomlText(made.byID[d.KeyID].key.ID)
			continue
		}
		add(agreed.Element("drop", i), d.KeyID, d.Token)
	}
	mark := fmt.Appendf(nil, "%s%s: other keys in the place of those of the trusted root.\n", standInMark, agreed.DigestOf(p.Data))
	s.Files[state.PlanFile] = append(mark, p.Edited(values)...)
	planned, err := plan.ParsePlan(s.Files[state.PlanFile], state.PlanFile) // with the ids of signers
	if err != nil {
		return fmt.Errorf("the stand-in for %s: %w", p.File, err)
	}
	ids := map[string]string{}
	for i, h := range planned.Holders {
		ids[agreed.Element("holder", i)] = h.ID
	}
	for i, d := range planned.Drops {
		ids[agreed.Element("drop", i)] = d.ID
	}
	answers := map[string]string{}
	for at, key := range onToken {
		s.Keys = append(s.Keys, key)
		answers["holder.pin "+ids[at]] = StandInPIN
	}
	for at, one := range software {
		der, err := x509.MarshalPKCS8PrivateKey(one.private)
		if err != nil {
			return err
		}
		s.Files[StandInsDir+"/"+ids[at]+".pem"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	s.Files[AnswersFile] = AnswersText(answers)
	s.Files[StandInsDir+"/README.txt"] = []byte("Every token in this rehearsal that stands in for a real one has the PIN " + StandInPIN + ".\n" +
		"What is here as .pem stands in for a key that is on no token, and signs with a tool of its own.\n")
	return nil
}

// madeUpSticker is a sticker for a token of which the plan says none: it tells
// which real key it stands in for.
func madeUpSticker(keyID string, taken map[string]bool) string {
	for n := 8; ; n++ {
		sticker := "OLD-" + strings.TrimPrefix(agreed.DropID(keyID, n), "old-")
		if n > agreed.MaxSticker-len("OLD-") {
			sticker = fmt.Sprintf("OLD-%d", n)
		}
		if !taken[agreed.Fold(sticker)] {
			taken[agreed.Fold(sticker)] = true
			return sticker
		}
	}
}

// standIn is a key in the place of another one.
type standIn struct {
	key     tuf.Key // as it stands in the stand-in root
	private crypto.Signer
}

type standIns struct {
	byID    map[string]standIn // by the id of the key it stands in for
	byValue map[string]standIn // by the value of that
}

// standInKeys makes one key for each that has the root role, in whatever other
// roles and under whatever other ids that stands too.
func standInKeys(root *tuf.Root) (*standIns, error) {
	made := &standIns{map[string]standIn{}, map[string]standIn{}}
	for _, id := range root.Roles[tuf.RoleRoot].KeyIDs {
		key, _ := root.Key(id)
		if _, there := made.byValue[key.Value()]; there {
			continue
		}
		if key.Unverifiable != "" { // whatever it signs counts for nothing: it stays as it is
			made.byID[id] = standIn{key: key}
			continue
		}
		private, err := sameKind(key)
		if err != nil {
			return nil, fmt.Errorf("a stand-in for the key %.8s: %w", id, err)
		}
		made.byValue[key.Value()] = standIn{private: private}
	}
	for _, key := range root.Keys {
		one, there := made.byValue[key.Value()]
		if !there {
			continue
		}
		var err error
		if one.key, err = inPlaceOf(key, one.private.Public()); err != nil {
			return nil, fmt.Errorf("a stand-in for the key %.8s: %w", key.ID, err)
		}
		made.byID[key.ID] = one
		public, err := tuf.NewKey(one.key.Public)
		if err == nil { // as key files have it
			made.byValue[key.Value()] = standIn{public, one.private}
		}
	}
	return made, nil
}

// sameKind makes a key of the kind that another one is.
func sameKind(key tuf.Key) (crypto.Signer, error) {
	switch key.Public.Algorithm {
	case keys.Ed25519:
		_, private, err := ed25519.GenerateKey(nil)
		return private, err
	case keys.P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case keys.P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	der, err := hex.DecodeString(key.Value())
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	switch public := parsed.(type) {
	case *mldsa.PublicKey:
		return mldsa.GenerateKey(public.Parameters())
	case *rsa.PublicKey:
		return rsa.GenerateKey(rand.Reader, public.N.BitLen())
	}
	return nil, fmt.Errorf("a key of type %T", parsed)
}

// inPlaceOf is a key object with another public key in the same notation, and
// all else as it was. An id that is the SHA-256 of its object is so again; any
// other says nothing about the key, and stays.
func inPlaceOf(key tuf.Key, public crypto.PublicKey) (tuf.Key, error) {
	var object, keyval map[string]json.RawMessage
	var value string
	if err := json.Unmarshal(key.Object(), &object); err != nil {
		return tuf.Key{}, err
	}
	if err := json.Unmarshal(object["keyval"], &keyval); err != nil {
		return tuf.Key{}, err
	}
	if err := json.Unmarshal(keyval["public"], &value); err != nil {
		return tuf.Key{}, err
	}
	value, err := sameNotation(value, public)
	if err != nil {
		return tuf.Key{}, err
	}
	keyval["public"] = mustJSON(value)
	if key.Exposed {
		delete(keyval, "private") // of the other key
	}
	object["keyval"] = mustJSON(keyval)
	var other tuf.Key
	if err := other.UnmarshalJSON(mustJSON(object)); err != nil {
		return tuf.Key{}, err
	}
	if !key.Hashed() {
		other.ID = key.ID
	}
	return other, nil
}

// sameNotation writes a public key as another one of its kind is written: in
// hex, or as PEM with the lines broken in the same places.
func sameNotation(like string, public crypto.PublicKey) (string, error) {
	if !strings.HasPrefix(like, "-----BEGIN ") {
		known, err := keys.FromCrypto(public)
		return known.Hex, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	lines := strings.Split(like, "\n")
	text := strings.Split(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "\n")
	rest := strings.Join(text[1:len(text)-2], "")
	for i, line := range lines[1:] {
		if strings.HasPrefix(line, "-----END ") {
			lines[i] += rest // a key that is longer than the other
			break
		}
		n := min(len(line), len(rest))
		lines[i+1], rest = rest[:n], rest[n:]
	}
	return strings.Join(lines, "\n"), nil
}

// mustJSON is the JSON of texts and of JSON that was read.
func mustJSON(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("JSON that was read cannot be written: %v", err))
	}
	return text
}

// sign makes the stand-in for a trusted root from the real one's file: with the
// other keys, marked as a rehearsal's, and signed by all of them. Whatever else
// it says stays.
func (made *standIns) sign(text []byte, expires time.Time) ([]byte, error) {
	real, err := tuf.Parse(text)
	if err != nil {
		return nil, err
	}
	var file, signed, keyObjects map[string]json.RawMessage
	var roles map[string]map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &file), json.Unmarshal(file["signed"], &signed)); err != nil {
		return nil, err
	}
	if err := errors.Join(json.Unmarshal(signed["keys"], &keyObjects), json.Unmarshal(signed["roles"], &roles)); err != nil {
		return nil, err
	}
	for id, one := range made.byID {
		delete(keyObjects, id)
		keyObjects[one.key.ID] = one.key.Object()
	}
	for name, role := range roles {
		ids := slices.Clone(real.Root.Roles[name].KeyIDs)
		for i, id := range ids {
			if one, there := made.byID[id]; there {
				ids[i] = one.key.ID
			}
		}
		role["keyids"] = mustJSON(ids)
	}
	if !expires.Equal(real.Root.Expires) {
		signed["expires"] = mustJSON(agreed.Stamp(expires))
	}
	signed["keys"], signed["roles"], signed["x-rehearsal"] = mustJSON(keyObjects), mustJSON(roles), json.RawMessage("true")
	file["signed"], file["signatures"] = mustJSON(signed), json.RawMessage("[]")
	unsigned, err := tuf.Parse(mustJSON(file))
	if err != nil {
		return nil, err
	}
	type entry struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	}
	var signatures []entry
	for _, id := range real.Root.Roles[tuf.RoleRoot].KeyIDs {
		one := made.byID[id]
		if one.private == nil {
			continue
		}
		sig, err := signWith(one.private, unsigned.Signed)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, entry{one.key.ID, hex.EncodeToString(sig)})
	}
	file["signatures"] = mustJSON(signatures)
	whole, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, err
	}
	var chain tuf.Chain
	_, err = chain.Add(whole)
	return append(whole, '\n'), err
}

// signWith signs as the schemes of root metadata want it.
func signWith(private crypto.Signer, message []byte) ([]byte, error) {
	switch key := private.(type) {
	case *mldsa.PrivateKey:
		return key.Sign(nil, tuf.MLDSAMessage(message), nil)
	case *rsa.PrivateKey:
		digest := sha256.Sum256(message)
		return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P384() {
			digest := sha512.Sum384(message)
			return ecdsa.SignASN1(rand.Reader, key, digest[:])
		}
		digest := sha256.Sum256(message)
		return ecdsa.SignASN1(rand.Reader, key, digest[:])
	}
	return private.Sign(nil, message, crypto.Hash(0))
}

// StandInFile is what a signer's own tool has written.
type StandInFile struct {
	Name string // of the signer
	File string // its path
}

// SignAsStandIns signs the draft, once it is reviewed, with the stand-ins that
// are on no token, as their holders' own tools would: each writes a root file,
// which is to be collected. It returns those of the live draft that are not.
func SignAsStandIns(d *ceremony.Desk) ([]StandInFile, error) {
	s := d.State()
	if s.Reviewed == nil || s.Draft == nil || s.Sealed != nil {
		return nil, nil
	}
	var files []StandInFile
	for _, h := range s.Signers() {
		text, err := transcript.ReadFile(filepath.Join(d.Dir(), StandInsDir, h.Holder.ID+".pem"))
		if errors.Is(err, fs.ErrNotExist) || err == nil && s.MaySign(h) != nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		file := StandInFile{h.Holder.Name, filepath.Join(d.Dir(), StandInsDir, fmt.Sprintf("%s.%d.%.8s.root.json", h.Holder.ID, s.Draft.Version, s.Draft.Digest))}
		files = append(files, file)
		if _, err := os.Lstat(file.File); err == nil {
			continue // signed before
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("the stand-in key of %s is no PEM (hint: begin another rehearsal)", h.Holder.Name)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the stand-in key of %s: %w", h.Holder.Name, err)
		}
		private, ok := parsed.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("the stand-in key of %s is of type %T", h.Holder.Name, parsed)
		}
		signature, err := signWith(private, s.Root.Canonical())
		if err != nil {
			return nil, err
		}
		root, err := tuf.Assemble(s.Root, []tuf.Signature{{KeyID: s.KeyID(h), Sig: signature}}, s.Plan.Previous()...)
		if err != nil {
			return nil, fmt.Errorf("the stand-in key of %s: %w", h.Holder.Name, err)
		}
		if err := disk.WriteNew(file.File, root, 0o644); err != nil {
			return nil, err
		}
	}
	return files, nil
}
