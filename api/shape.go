package api

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// The shapes of inputs and outputs are Go structs whose fields are named like the members. In inputs a pointer tells a
// member that is not set from an empty one.

// timestamp is a point in time on the wire: seconds since the epoch with a fraction. The zero time is not set.
type timestamp time.Time

// IsZero tells encoders to leave the member out.
func (t timestamp) IsZero() bool { return time.Time(t).IsZero() }

// MarshalJSON writes a number with three decimals, as the AWS JSON protocols have it.
func (t timestamp) MarshalJSON() ([]byte, error) {
	ms := time.Time(t).UnixMilli()
	text := strconv.AppendInt(nil, ms/1000, 10)
	fraction := strconv.Itoa(int(1000 + ms%1000))
	return append(append(text, '.'), fraction[1:]...), nil
}

// MarshalCBOR writes tag 1 (epoch time) and a double, which clients require.
func (t timestamp) MarshalCBOR() ([]byte, error) {
	seconds := float64(time.Time(t).UnixMilli()) / 1000
	return binary.BigEndian.AppendUint64([]byte{0xc1, 0xfb}, math.Float64bits(seconds)), nil
}

// value returns what a pointer points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// given returns a pointer to the text, nil for an empty one.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// shapes makes the shape of each.
func shapes[T, S any](all []T, shape func(T) S) []S {
	list := make([]S, len(all))
	for i, one := range all {
		list[i] = shape(one)
	}
	return list
}
