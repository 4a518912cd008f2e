package ceremony

import (
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// visit is what a task has to do with one token of a holder. It says whose it is and
// which, and nothing of what is known of it: every event makes another state, and
// the facts are asked of that each time.
type visit struct {
	d      *Desk
	a      prompt.Room
	holder string // id
	kind   state.TokenKind

	s   *session.Session // with the token selected, once it is
	pin *secret.Buffer   // the token's, once it was typed
}

// visit is one with the holder's own token.
func (d *Desk) visit(a prompt.Room, holder string) visit {
	return visit{d: d, a: a, holder: holder}
}

// with is the visit with another token of the same holder.
func (v visit) with(kind state.TokenKind) visit {
	v.kind = kind
	return v
}

// in is the visit in a session; pin is nil where nothing is done that needs it.
func (v visit) in(s *session.Session, pin *secret.Buffer) visit {
	v.s, v.pin = s, pin
	return v
}

// now is what is known of the token. After the next event it is out of date.
func (v visit) now() *state.Holder { return v.d.State().Token(v.holder, v.kind) }

// own is what is known of the holder's own token, of which this may be the
// replacement, or the spare.
func (v visit) own() *state.Holder { return v.with(state.OwnToken).now() }

func (v visit) record(kind string, data any) error { return v.d.record(kind, v.holder, data) }

func (v visit) intend(kind string, data any) (int64, error) {
	return v.d.intend(kind, v.holder, data)
}
