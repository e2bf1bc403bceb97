module github.com/berthgg/berth

go 1.26.0
