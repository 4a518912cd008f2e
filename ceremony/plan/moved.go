package plan

import (
	"bytes"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
)

// RehearseCommand is what people type to rehearse the plan: what that is depends
// on what it follows. DIR0 stands for a rehearsal that is not known.
func (p *Plan) RehearseCommand() string {
	switch {
	case p.Chain == nil:
		return agreed.Command("rehearse", "--plan", p.File)
	case p.Chain.Real() == nil:
		return agreed.Command("rehearse", "--stand-in", p.File)
	}
	for _, dir := range append(slices.Clone(p.Earlier), path.Dir(filepath.ToSlash(p.Trusted))) {
		if dir = filepath.FromSlash(dir); !filepath.IsAbs(dir) {
			dir = filepath.Join(filepath.Dir(p.File), dir)
		}
		if c, err := ReadCeremony(dir); err != nil || c.State.Begun == nil || !c.State.Begun.Rehearsal || c.State.Closed == nil {
			continue
		}
		if chain, err := ReadTrusted(filepath.Join(dir, state.PublishDir)); err == nil && bytes.Equal(chain.Last.Signed, p.Chain.Last.Signed) {
			return agreed.Command("rehearse", "--after", dir, "--plan", p.File)
		}
	}
	return agreed.Command("rehearse", "--after", "DIR0", "--plan", p.File)
}

// Moved are the values of a plan that name something by its place beside it, as
// they are for a plan in a directory of its own: by path, as TOML.
func (p *Plan) Moved() map[string]string {
	values := map[string]string{}
	if p.Chain != nil && p.Trusted != agreed.TrustedDir {
		values["trusted"] = TomlText(agreed.TrustedDir)
	}
	for i, dir := range p.Earlier {
		whole, err := filepath.Abs(filepath.Join(filepath.Dir(p.File), filepath.FromSlash(dir)))
		if err == nil && !filepath.IsAbs(dir) {
			values[agreed.Element("earlier", i)] = TomlText(whole)
		}
	}
	return values
}

// Edited is the plan's text with other texts in the place of those values.
func (p *Plan) Edited(values map[string]string) []byte {
	at := map[int]string{}
	for path, value := range values {
		at[p.Where[path].Value] = value
	}
	var text []byte
	from := 0
	for _, offset := range slices.Sorted(maps.Keys(at)) {
		text = append(append(text, p.Data[from:offset]...), at[offset]...)
		from = offset + textLength(p.Data[offset:])
	}
	return append(text, p.Data[from:]...)
}

// textLength is how many bytes the TOML string has with which data begins.
func textLength(data []byte) int {
	quote, width := data[0], 1
	if len(data) > 5 && data[1] == quote && data[2] == quote {
		width = 3
	}
	for i := width; i < len(data); i++ {
		switch {
		case data[i] == '\\' && quote == '"':
			i++
		case data[i] == quote && strings.HasPrefix(string(data[i:]), strings.Repeat(string(quote), width)):
			return i + width
		}
	}
	return len(data)
}
