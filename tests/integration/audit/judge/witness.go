package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	flog "github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// A witness (C2SP tlog-witness) of one log, in memory. It signs what begins with what it signed last, and nothing else.
type witness struct {
	log    note.Verifier
	signer note.Signer
	mu     sync.Mutex
	seen   flog.Checkpoint
}

// serve prints the witness's public key and its port, and answers until it is killed.
func serve(vkey string) error {
	log, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	secret, public, err := note.GenerateKey(rand.Reader, "witness.test/w1")
	if err != nil {
		return err
	}
	signer, err := fnote.NewSignerForCosignatureV1(secret)
	if err != nil {
		return err
	}
	public, err = fnote.VKeyToCosignatureV1(public)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(public)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	w := &witness{log: log, signer: signer}
	http.HandleFunc("POST /add-checkpoint", w.add)
	return http.Serve(listener, nil)
}

func (w *witness) add(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(out, in.Body, 1<<16))
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	status, kind, answer := w.judge(body)
	out.Header().Set("Content-Type", kind)
	out.WriteHeader(status)
	io.WriteString(out, answer)
}

func (w *witness) judge(body []byte) (int, string, string) {
	old, hashes, raw, err := parse(body)
	if err != nil {
		return http.StatusBadRequest, "text/plain", err.Error()
	}
	cp, _, signed, err := flog.ParseCheckpoint(raw, w.log.Name(), w.log)
	if err != nil {
		return http.StatusForbidden, "text/plain", err.Error()
	}
	if old != w.seen.Size {
		return http.StatusConflict, "text/x.tlog.size", fmt.Sprintf("%d\n", w.seen.Size)
	}
	if old > cp.Size {
		return http.StatusBadRequest, "text/plain", "older than what it is said to begin with"
	}
	if old == 0 && len(hashes) > 0 {
		return http.StatusUnprocessableEntity, "text/plain", "a proof from nothing"
	}
	if old > 0 {
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old, cp.Size, hashes, w.seen.Hash, cp.Hash); err != nil {
			return http.StatusUnprocessableEntity, "text/plain", err.Error()
		}
	}
	cosigned, err := note.Sign(&note.Note{Text: signed.Text}, w.signer)
	if err != nil {
		return http.StatusInternalServerError, "text/plain", err.Error()
	}
	w.seen = *cp
	_, lines, _ := bytes.Cut(cosigned, []byte("\n\n"))
	return http.StatusOK, "text/plain", string(lines)
}

// parse takes a request apart: "old N", hashes in base64, an empty line, the checkpoint.
func parse(body []byte) (uint64, [][]byte, []byte, error) {
	head, raw, found := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, isOld := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseUint(size, 10, 64)
	if !found || !isOld || err != nil || len(lines) > 64 || strconv.FormatUint(old, 10) != size {
		return 0, nil, nil, fmt.Errorf("not a request")
	}
	var hashes [][]byte
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != 32 {
			return 0, nil, nil, fmt.Errorf("not a hash")
		}
		hashes = append(hashes, hash)
	}
	return old, hashes, raw, nil
}

// cosigned checks that a witness signed a checkpoint.
func cosigned(log, vkey, raw string) error {
	l, err := note.NewVerifier(log)
	if err != nil {
		return err
	}
	w, err := fnote.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return err
	}
	opened, err := note.Open([]byte(raw), note.VerifierList(l, w))
	if err != nil {
		return err
	}
	if len(opened.Sigs) != 2 {
		return fmt.Errorf("%d known signatures", len(opened.Sigs))
	}
	return nil
}
