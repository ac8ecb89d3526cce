// What GitOps tools say of Kubernetes objects, by their own rules: kstatus, as Flux and Helm use it,
// and Argo CD's health check in Lua, run as Argo CD runs it.
//
//	health SCRIPT < OBJECTS.json > HEALTH.json
//
// SCRIPT is the Lua itself; OBJECTS.json is a List; HEALTH.json a list of {kstatus, argocd, message}.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type health struct {
	Kstatus string `json:"kstatus"`
	ArgoCD  string `json:"argocd"`
	Message string `json:"message"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(script string) error {
	var list unstructured.UnstructuredList
	// Not into plain maps: kstatus wants integers where plain decoding makes floating point numbers.
	if err := json.NewDecoder(os.Stdin).Decode(&list); err != nil {
		return err
	}
	found := []health{}
	for _, object := range list.Items {
		one, err := of(object, script)
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		found = append(found, one)
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func of(object unstructured.Unstructured, script string) (health, error) {
	computed, err := status.Compute(&object)
	if err != nil {
		return health{}, err
	}
	answer, err := evaluate(object.Object, script)
	if err != nil {
		return health{}, err
	}
	return health{
		Kstatus: computed.Status.String(),
		ArgoCD:  lua.LVAsString(answer.RawGetString("status")),
		Message: lua.LVAsString(answer.RawGetString("message")),
	}, nil
}

// Argo CD opens these libraries and no others.
func evaluate(object map[string]any, script string) (*lua.LTable, error) {
	machine := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer machine.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage,
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		machine.Push(machine.NewFunction(open))
		machine.Push(lua.LString(name))
		machine.Call(1, 0)
	}
	machine.SetGlobal("obj", toLua(machine, object))
	if err := machine.DoString(script); err != nil {
		return nil, err
	}
	answer, ok := machine.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the script returned no table but %s", machine.Get(-1).Type())
	}
	return answer, nil
}

func toLua(machine *lua.LState, value any) lua.LValue {
	switch typed := value.(type) {
	case map[string]any:
		table := machine.NewTable()
		for key, item := range typed {
			table.RawSetString(key, toLua(machine, item))
		}
		return table
	case []any:
		table := machine.NewTable()
		for _, item := range typed {
			table.Append(toLua(machine, item))
		}
		return table
	case string:
		return lua.LString(typed)
	case bool:
		return lua.LBool(typed)
	case int64:
		return lua.LNumber(typed)
	case float64:
		return lua.LNumber(typed)
	default:
		return lua.LNil
	}
}
