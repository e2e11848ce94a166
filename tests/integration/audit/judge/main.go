// The judge checks an exported log with other people's code: the checkpoint, the tiles, and a proof of inclusion.
//
//	judge FOLDER PROOF
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	flog "github.com/transparency-dev/formats/log"
	fproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type tiles struct{ folder string }

func (t tiles) Height() int                          { return 8 }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, one := range wanted {
		// tlog says tile/8/L/N where C2SP says tile/L/N
		raw, err := os.ReadFile(filepath.Join(t.folder, "tile", strings.TrimPrefix(one.Path(), "tile/8/")))
		if err != nil {
			return nil, err
		}
		found = append(found, raw)
	}
	return found, nil
}

func main() {
	if err := judge(os.Args[1], os.Args[2]); err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func judge(folder, file string) error {
	vkey, err := os.ReadFile(filepath.Join(folder, "key"))
	if err != nil {
		return err
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return err
	}
	cp, _, _, err := flog.ParseCheckpoint(raw, v.Name(), v)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var p fproof.TLogProof
	if err := p.Unmarshal(text); err != nil {
		return err
	}
	if !bytes.Equal(p.Checkpoint, raw) {
		return fmt.Errorf("the proof has another checkpoint")
	}
	leaf, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.Split(string(text), "\n")[1], "extra "))
	if err != nil {
		return err
	}
	var hashes [][]byte
	for _, one := range p.Hashes {
		hashes = append(hashes, one[:])
	}
	hash := rfc6962.DefaultHasher.HashLeaf(leaf)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, cp.Size, hash, hashes, cp.Hash); err != nil {
		return err
	}
	// Reads tiles and checks each against the root.
	tree := tlog.Tree{N: int64(cp.Size), Hash: tlog.Hash(cp.Hash)}
	reader := tlog.TileHashReader(tree, tiles{folder})
	for n := int64(0); n < tree.N; n += 17 {
		made, err := tlog.ProveRecord(tree.N, n, reader)
		if err != nil {
			return err
		}
		if n == int64(p.Index) && len(made) != len(hashes) {
			return fmt.Errorf("another proof")
		}
	}
	return nil
}
