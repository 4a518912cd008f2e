package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys/session"
	"rootceremony/keys/yubico"
	"rootceremony/keys/yubikey"
)

// errNoSmartCards is what a build without cgo says.
var errNoSmartCards = errors.New("this build has no smart cards (hint: make packages, then make build)")

// sessionProgram is this program as the child process of token sessions.
var sessionProgram = session.Program{Args: []string{sessionArgument}}

// readers are the tokens in this machine's readers, whose attestations lead to
// these roots.
func readers(roots, intermediates []*x509.Certificate, rehearsal bool) (prompt.Tokens, error) {
	if !smartCards {
		return prompt.Tokens{}, errNoSmartCards
	}
	program, backend := sessionProgram, session.Backend{Kind: yubikey.Kind}
	if rehearsal {
		program.Env = laptop.RehearsalEnvironment()
	}
	return prompt.Tokens{Roots: roots, Intermediates: intermediates,
		Start: func(ctx context.Context) (*session.Session, error) { return program.Start(ctx, backend) }}, nil
}

// genuine are readers of tokens that Yubico made. file names intermediates
// that are newer than the ones this program knows; it may be empty.
func genuine(file string, rehearsal bool) (prompt.Tokens, error) {
	intermediates := yubico.Intermediates()
	if file != "" {
		newer, err := certificates(file)
		if err != nil {
			return prompt.Tokens{}, err
		}
		intermediates = append(intermediates, newer...)
	}
	return readers(yubico.Roots(), intermediates, rehearsal)
}

// certificates reads a PEM file of certificates.
func certificates(file string) ([]*x509.Certificate, error) {
	text, err := transcript.ReadFile(file)
	if err != nil {
		return nil, err
	}
	read, err := yubico.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return read, nil
}
