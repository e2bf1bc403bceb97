package bench

import (
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
)

// maxBody is how many bytes a request to what Berth is compared with may have.
const maxBody = 4 << 20

// answer answers a call of an operation: with the body of the output, or with a failure.
type answer func(c *gin.Context, p *Protocol, operation string, in *input) (body []byte, failure *failure)

type failure struct {
	status    int
	exception string
}

// newHandler serves operations over both protocols, as little as Gin can do it with.
func newHandler(answer answer) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	serve := func(c *gin.Context, p *Protocol, operation string) {
		var in input
		text, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
		if err == nil {
			err = p.unmarshal(text, &in)
		}
		if err != nil {
			c.Status(http.StatusBadRequest)
			return
		}
		body, failed := answer(c, p, operation, &in)
		if failed != nil {
			c.Header("X-Amzn-Errortype", failed.exception)
			c.Status(failed.status)
			return
		}
		c.Data(http.StatusOK, p.contentType, body)
	}
	engine.POST("/", func(c *gin.Context) {
		const service = "GameLift."
		target := c.GetHeader("X-Amz-Target")
		serve(c, JSON, target[min(len(service), len(target)):])
	})
	engine.POST("/service/GameLift/operation/:operation", func(c *gin.Context) { serve(c, CBOR, c.Param("operation")) })
	return engine
}

// newRoof serves constants: what a service could be at best that does nothing but read requests and write replies. replies are
// Berth's, by operation.
func newRoof(replies map[string][]byte) http.Handler {
	return newHandler(func(_ *gin.Context, _ *Protocol, operation string, _ *input) ([]byte, *failure) {
		if reply, known := replies[operation]; known {
			return reply, nil
		}
		return nil, &failure{http.StatusBadRequest, "UnknownOperationException"}
	})
}
