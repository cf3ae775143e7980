{%- set hard = {
    'accelerator': 'devices_hard', 'vcpu': 'vcpu_hard', 'memory': 'memory_hard_gib'
} %}

with

quotas as (

    select * from {{ ref('stg_k8s__quota_hours') }}

),

pod_costs as (

    select * from {{ source('split', 'pod_costs') }}

),

unallocated_costs as (

    select * from {{ source('split', 'unallocated_costs') }}

),

weighed as (

    {{ weighed_node_hours() }}

),

pods as (

    select * from {{ ref('int_pod_costs__daily') }}

),

ownership as (

    select * from {{ ref('stg_org__ownership') }}

),

-- Everything below is joined with these: a month without quotas reads no pods.
clusters as (

    select distinct
        billing_month,
        cluster_name
    from quotas

),

namespaces as (

    select distinct
        billing_month,
        cluster_name,
        namespace
    from quotas

),

holder_days as (

    select distinct
        billing_month,
        usage_hour::date as usage_date,
        cluster_name,
        namespace
    from quotas

),

-- What the pods of a namespace are allocated, their owners pay already.
allocated as (

    select
        pod_costs.billing_month,
        pod_costs.usage_hour,
        pod_costs.cluster_name,
        pod_costs.namespace,
        {% for resource in resources() -%}
        sum(pod_costs.{{ resource }}_allocated_hours::decimal(28, 12))::decimal(28, 12)
            as {{ resource }}_hours{{ ',' if not loop.last }}
        {% endfor %}
    from pod_costs
    inner join namespaces
        on
            pod_costs.billing_month = namespaces.billing_month
            and pod_costs.cluster_name = namespaces.cluster_name
            and pod_costs.namespace = namespaces.namespace
    group by
        pod_costs.billing_month,
        pod_costs.usage_hour,
        pod_costs.cluster_name,
        pod_costs.namespace

),

-- By the hour: what is free at night does not make up for what is full at noon.
held_by_hour as (

    {% for resource in resources() -%}
    select
        quotas.billing_month,
        quotas.usage_hour::date as usage_date,
        quotas.cluster_name,
        quotas.namespace,
        '{{ resource }}' as resource,
        greatest(
            quotas.{{ hard[resource] }}::decimal(28, 12)
            - coalesce(allocated.{{ resource }}_hours, 0::decimal(28, 12)),
            0
        )::decimal(28, 12) as held_hours
    from quotas
    left join allocated
        on
            quotas.billing_month = allocated.billing_month
            and quotas.usage_hour = allocated.usage_hour
            and quotas.cluster_name = allocated.cluster_name
            and quotas.namespace = allocated.namespace
    where quotas.{{ hard[resource] }} is not null
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

held as (

    select
        billing_month,
        usage_date,
        cluster_name,
        namespace,
        resource,
        sum(held_hours)::decimal(38, 12) as held_hours
    from held_by_hour
    group by billing_month, usage_date, cluster_name, namespace, resource
    having sum(held_hours) > 0

),

on_nodes as (

    select
        pod_costs.billing_month,
        pod_costs.payer_account_id,
        pod_costs.instance_id,
        pod_costs.usage_hour,
        pod_costs.cluster_name,
        {% for resource in resources() -%}
        sum(pod_costs.{{ resource }}_allocated_hours::decimal(28, 12))::decimal(28, 12)
            as {{ resource }}_hours{{ ',' if not loop.last }}
        {% endfor %}
    from pod_costs
    inner join clusters
        on
            pod_costs.billing_month = clusters.billing_month
            and pod_costs.cluster_name = clusters.cluster_name
    where pod_costs.instance_id is not null
    group by
        pod_costs.billing_month,
        pod_costs.payer_account_id,
        pod_costs.instance_id,
        pod_costs.usage_hour,
        pod_costs.cluster_name

),

-- A node-hour's resource is unused beside pods that claim it, else unallocated.
idle_by_hour as (

    {% for resource in resources() -%}
    select
        on_nodes.billing_month,
        on_nodes.usage_hour::date as usage_date,
        on_nodes.cluster_name,
        '{{ resource }}' as resource,
        greatest(
            weighed.{{ resource }}_capacity_hours::decimal(28, 12)
            - on_nodes.{{ resource }}_hours,
            0
        )::decimal(28, 12) as idle_hours
    from on_nodes
    inner join weighed
        on
            on_nodes.billing_month = weighed.billing_month
            and on_nodes.payer_account_id = weighed.payer_account_id
            and on_nodes.instance_id = weighed.instance_id
            and on_nodes.usage_hour = weighed.usage_hour
    where on_nodes.{{ resource }}_hours > 0
    union all
    {% endfor -%}
    select
        unallocated_costs.billing_month,
        unallocated_costs.usage_hour::date as usage_date,
        unallocated_costs.cluster_name,
        unallocated_costs.resource,
        unallocated_costs.capacity_hours::decimal(28, 12) as idle_hours
    from unallocated_costs
    inner join clusters
        on
            unallocated_costs.billing_month = clusters.billing_month
            and unallocated_costs.cluster_name = clusters.cluster_name

),

idle as (

    select
        billing_month,
        usage_date,
        cluster_name,
        resource,
        sum(idle_hours)::decimal(38, 12) as idle_hours
    from idle_by_hour
    group by billing_month, usage_date, cluster_name, resource

),

-- What all pods of a namespace that say it say alike, they say of the namespace.
agreed as (

    select
        pods.billing_month,
        pods.cluster_name,
        pods.namespace,
        {% for name in chosen_labels() -%}
        case
            when
                min({{ tag('pods.labels', name) }}) = max({{ tag('pods.labels', name) }})
                then min({{ tag('pods.labels', name) }})
        end as agreed_{{ loop.index }}{{ ',' if not loop.last }}
        {% endfor %}
    from pods
    inner join namespaces
        on
            pods.billing_month = namespaces.billing_month
            and pods.cluster_name = namespaces.cluster_name
            and pods.namespace = namespaces.namespace
    group by pods.billing_month, pods.cluster_name, pods.namespace

),

owned as (

    select
        holder_days.billing_month,
        holder_days.usage_date,
        holder_days.cluster_name,
        holder_days.namespace,
        {% for name in owner_labels() -%}
        min_by(ownership.value, ownership.priority)
            filter (where ownership.label = '{{ name }}') as owned_{{ name }}
        {{- ',' if not loop.last }}
        {% endfor %}
    from holder_days
    inner join ownership
        on
            holder_days.billing_month = ownership.billing_month
            and ownership.match_kind in ('namespace', 'default')
            and ownership.node_pool_like is null
            and holder_days.usage_date >= ownership.effective_from
            and holder_days.usage_date < ownership.effective_to
            and {{ like_if_given(
                'holder_days.cluster_name', 'ownership.cluster_name_like'
            ) }}
            and {{ like_if_given('holder_days.namespace', 'ownership.namespace_like') }}
    group by
        holder_days.billing_month,
        holder_days.usage_date,
        holder_days.cluster_name,
        holder_days.namespace

),

labelled as (

    select
        held.*,
        idle.idle_hours,
        {% for name in chosen_labels() -%}
        coalesce(
            agreed.agreed_{{ loop.index }},
            {{ 'owned.owned_' ~ name if name in owner_labels() else 'null' }}
        ) as label_{{ loop.index }}{{ ',' if not loop.last }}
        {% endfor %}
    from held
    inner join idle
        on
            held.billing_month = idle.billing_month
            and held.usage_date = idle.usage_date
            and held.cluster_name = idle.cluster_name
            and held.resource = idle.resource
    left join agreed
        on
            held.billing_month = agreed.billing_month
            and held.cluster_name = agreed.cluster_name
            and held.namespace = agreed.namespace
    left join owned
        on
            held.billing_month = owned.billing_month
            and held.usage_date = owned.usage_date
            and held.cluster_name = owned.cluster_name
            and held.namespace = owned.namespace

),

final as (

    select
        billing_month,
        usage_date,
        cluster_name,
        resource,
        namespace,
        {{ chosen_label_map() }} as labels, -- noqa: PRS
        held_hours,
        idle_hours
    from labelled

)

select * from final
