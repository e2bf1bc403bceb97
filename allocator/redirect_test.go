package allocator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A call that is led to another server is sent again in its pipeline. When that server reads calls and answers none, go-redis leaves
// them with the answer of the first server, which says nothing any more.
func TestRedirectedCallWithoutAnAnswerHasAnUnknownOutcome(t *testing.T) {
	const calls = 2
	var read atomic.Int32
	other := scripted(t, func(c net.Conn) bool { return read.Add(1) < calls })
	first := scripted(t, func(c net.Conn) bool {
		fmt.Fprintf(c, "-MOVED 1 %s\r\n", other)
		return true
	})
	client := redis.NewClusterClient(&redis.ClusterOptions{ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
		return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: first}}}}, nil
	}})
	defer client.Close()
	a := &Allocator{redis: client, pipelines: newPipelines(client)}
	a.pipelines.from = 0
	p := a.pipelines.of(t.Context(), "key")
	p.senders = pipelinesAtOnce // all of them busy until both calls wait
	failures := make(chan error)
	for range calls {
		go func() {
			counted := &countedArg{value: "token"}
			_, err := a.evaluateWithOthers(t.Context(), removePlayerSessionScript, []string{"key"}, []any{counted}, counted)
			failures <- err
		}()
	}
	for a.Waiting() < calls {
		runtime.Gosched()
	}
	p.send()
	for range calls {
		if err := <-failures; !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("a call that a server read and did not answer: %v", err)
		}
	}
}

// scripted starts a server of the Redis protocol that leaves script calls to a function, which returns false to hang up.
func scripted(t *testing.T, evaluate func(net.Conn) bool) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		for r := bufio.NewReader(c); ; {
			command, err := readCommand(r)
			switch {
			case err != nil:
				return
			case command[0] == "evalsha":
				if !evaluate(c) {
					return
				}
			case command[0] == "hello":
				io.WriteString(c, "-ERR unknown command\r\n")
			default:
				io.WriteString(c, "+OK\r\n")
			}
		}
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return listener.Addr().String()
}

// readCommand reads an array of strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	count, err := readLength(r)
	if err != nil {
		return nil, err
	}
	command := make([]string, count)
	for i := range command {
		length, err := readLength(r)
		if err != nil {
			return nil, err
		}
		text := make([]byte, length+len("\r\n"))
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		command[i] = string(text[:length])
	}
	return command, nil
}

func readLength(r *bufio.Reader) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}
