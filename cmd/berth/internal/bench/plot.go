package bench

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/guptarohit/asciigraph"
)

const (
	plotWidth  = 72
	plotHeight = 15
	mostNines  = 4 // 99.99 %
)

// marks draw the contenders, apart from each other without colours.
var marks = []string{"*", "o", "+", "x", "#", "~"}

// WritePlot draws the latencies of each contender by percentile. The more to the right, the rarer: 90 %, 99 %, 99.9 %.
func (r *Result) WritePlot(out io.Writer) error {
	nines := float64(mostNines)
	for _, c := range r.Contenders {
		if n := c.Total.Succeeded; n > 0 {
			nines = min(nines, max(1, math.Floor(math.Log10(float64(n))))) // rarer than one request there is nothing
		}
	}
	var lines [][]float64
	var names []string
	var sets []asciigraph.CharSet
	for i, c := range r.Contenders {
		if c.Total.Succeeded == 0 {
			continue
		}
		line := make([]float64, plotWidth)
		for x := range line {
			rarity := nines * float64(x) / (plotWidth - 1)
			line[x] = float64(c.Total.histogram.ValueAtPercentile(100*(1-math.Pow(10, -rarity)))) / 1000
		}
		lines = append(lines, line)
		mark := marks[i%len(marks)]
		names = append(names, mark+" "+c.Name)
		sets = append(sets, asciigraph.CreateCharSet(mark))
	}
	if lines == nil {
		return nil
	}
	_, err := fmt.Fprintf(out, "\n%s\n", asciigraph.PlotMany(lines,
		asciigraph.Width(plotWidth), asciigraph.Height(plotHeight), asciigraph.LowerBound(0), asciigraph.Precision(2),
		asciigraph.SeriesChars(sets...), asciigraph.Caption("latency in ms by percentile: "+strings.Join(names, ", ")),
		asciigraph.XAxisRange(0, nines), asciigraph.XAxisTickCount(int(nines)+1),
		asciigraph.XAxisValueFormatter(func(rarity float64) string {
			return strconv.FormatFloat(100*(1-math.Pow(10, -rarity)), 'g', 4, 64) + "%"
		}),
	))
	return err
}
