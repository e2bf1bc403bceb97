package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/api"
)

// BenchmarkOperations measures each operation over each binding, one at a time, from the request's bytes to the reply's, on a Redis
// of its own. What has to be there before the call is made out of the measurement.
//
//	go test ./api -run '^$' -bench Operations | tee new && go tool benchstat old new
func BenchmarkOperations(b *testing.B) {
	for _, w := range wires {
		b.Run(w.name, func(b *testing.B) {
			for _, operation := range api.Operations() {
				b.Run(operation, func(b *testing.B) {
					s := newServiceOn(b, allocatortest.RedisRealTime(b))
					b.ReportAllocs()
					for b.Loop() {
						b.StopTimer()
						body, err := w.encode(s.validInput(operation))
						if err != nil {
							b.Fatal(err)
						}
						request, answer := w.request(operation, body), httptest.NewRecorder()
						b.StartTimer()
						s.ServeHTTP(answer, request)
						if answer.Code != http.StatusOK {
							b.Fatalf("%s is answered with %d %s", operation, answer.Code, answer.Body)
						}
					}
				})
			}
		})
	}
}
