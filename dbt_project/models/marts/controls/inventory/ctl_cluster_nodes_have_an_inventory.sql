with

{{ billed_payers() }},

pods_of_instances as (

    select distinct
        billing_month,
        instance_id
    from {{ ref('stg_k8s__pod_hours') }}

),

at_risk as (

    select
        node_hours.billing_month,
        node_hours.payer_account_id,
        count(*) as node_hour_count,
        count(distinct node_hours.instance_id) as instance_count,
        sum(node_hours.amortized_usd) as amortized_usd,
        min(node_hours.instance_id) as example
    from {{ ref('int_node_hours') }} as node_hours
    left join pods_of_instances
        on
            node_hours.billing_month = pods_of_instances.billing_month
            and node_hours.instance_id = pods_of_instances.instance_id
    where
        node_hours.is_cluster_tagged
        and not node_hours.is_in_inventory
        and pods_of_instances.instance_id is null
    group by node_hours.billing_month, node_hours.payer_account_id

),

final as (

    select
        payers.billing_month,
        payers.payer_account_id,
        'amortized' as cost_basis,
        {{ expects_none('at_risk.node_hour_count', 'at_risk.amortized_usd') }}
        coalesce(at_risk.node_hour_count, 0)
        || ' node-hours carry the tags of a cluster, and no inventory knows them'
        || coalesce(
            ', on ' || at_risk.instance_count || ' instances like ' || at_risk.example, ''
        ) as evidence
    from payers
    left join at_risk
        on
            payers.billing_month = at_risk.billing_month
            and payers.payer_account_id = at_risk.payer_account_id

)

select * from final
